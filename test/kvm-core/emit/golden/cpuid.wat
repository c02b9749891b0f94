;; 64-bit: cpuid; mov eax, ebx
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "cpuid" (func (;0;) (type 1)))
  (import "e" "hlt" (func (;1;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i32 i64 i64)
    (local.set 2
      (call 0
        (i32.const 25165856)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 2)
      (then
        (return
          (i32.const 0))))
    (local.set 3
      (i64.load offset=24 align=1
        (local.get 0)))
    (local.set 1
      (i32.ne
        (i32.load16_u align=1
          (i32.const 25165840))
        (i32.const 12)))
    (if  ;; label = @1
      (local.get 1)
      (then
        (return
          (i32.const 25165872))))
    (local.set 4
      (i64.and
        (i64.and
          (local.get 3)
          (i64.const 4294967295))
        (i64.const 4294967295)))
    (i64.store align=1
      (local.get 0)
      (local.get 4))
    (local.set 2
      (call 1
        (i32.const 25165888)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 2)
      (then
        (return
          (i32.const 0))))
    (local.set 1
      (i32.ne
        (i32.load16_u align=1
          (i32.const 25165840))
        (i32.const 12)))
    (return
      (i32.const 25165904)))
  (export "block" (func 2)))
