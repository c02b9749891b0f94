;; 64-bit: div ecx
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "raise" (func (;0;) (type 1)))
  (import "e" "hlt" (func (;1;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i64 i32)
    (local.set 2
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 4
      (i64.load align=1
        (local.get 0)))
    (local.set 6
      (i64.load offset=16 align=1
        (local.get 0)))
    (local.set 3
      (i64.and
        (local.get 2)
        (i64.const 4294967295)))
    (if  ;; label = @1
      (i64.eqz
        (local.get 3))
      (then
        (call 0
          (i32.const 25165856)
          (i32.const 0))
        (return
          (i32.const 0))))
    (local.set 5
      (i64.and
        (local.get 4)
        (i64.const 4294967295)))
    (local.set 5
      (i64.or
        (local.get 5)
        (i64.shl
          (i64.and
            (local.get 6)
            (i64.const 4294967295))
          (i64.const 32))))
    (local.set 7
      (i64.div_u
        (local.get 5)
        (local.get 3)))
    (if  ;; label = @1
      (i64.ne
        (local.get 7)
        (i64.and
          (local.get 7)
          (i64.const 4294967295)))
      (then
        (call 0
          (i32.const 25165856)
          (i32.const 0))
        (return
          (i32.const 0))))
    (local.set 8
      (i64.rem_u
        (local.get 5)
        (local.get 3)))
    (local.set 4
      (i64.and
        (local.get 7)
        (i64.const 4294967295)))
    (local.set 6
      (i64.and
        (local.get 8)
        (i64.const 4294967295)))
    (i64.store align=1
      (local.get 0)
      (local.get 4))
    (i64.store offset=16 align=1
      (local.get 0)
      (local.get 6))
    (local.set 9
      (call 1
        (i32.const 25165872)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 9)
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
  (export "block" (func 2)))
