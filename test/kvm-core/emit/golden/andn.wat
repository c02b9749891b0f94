;; 64-bit: andn rax, rbx, rcx
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "hlt" (func (;0;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i32)
    (local.set 2
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 3
      (i64.load offset=24 align=1
        (local.get 0)))
    (local.set 4
      (i64.and
        (i64.xor
          (local.get 3)
          (i64.const -1))
        (local.get 2)))
    (local.set 5
      (local.get 4))
    (local.set 6
      (i64.const 0))
    (local.set 7
      (local.get 4))
    (i64.store align=1
      (local.get 0)
      (local.get 5))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 6))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 7))
    (local.set 8
      (call 0
        (i32.const 25165872)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 8)
      (then
        (return
          (i32.const 0))))
    (local.set 1
      (i32.ne
        (i32.load16_u align=1
          (i32.const 25165840))
        (i32.const 12)))
    (return
      (i32.const 25165888)))
  (export "block" (func 1)))
