;; 64-bit: fld1; fadd qword ptr [rsi]
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (type (;3;) (func (param i32 i32) (result i32)))
  (type (;4;) (func (param i32 i32 i64 i32 i64)))
  (type (;5;) (func (param i32 i32 i32 i64)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "x87Single" (func (;1;) (type 2)))
  (import "e" "miss" (func (;2;) (type 3)))
  (import "e" "x87Operand" (func (;3;) (type 4)))
  (import "e" "x87ArithMemory" (func (;4;) (type 5)))
  (import "e" "hlt" (func (;5;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;6;) (type 0) (param i32) (result i32)
    (local i32 i32 i64 i64 i64 i64 i32 i32 i64)
    (local.set 3
      (i64.load offset=136 align=1
        (local.get 0)))
    (local.set 4
      (i64.load offset=48 align=1
        (local.get 0)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 257))
      (then
        (local.set 2
          (call 0
            (i32.const 25165856)
            (i32.const 0)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (i32.store offset=24604 align=1
      (local.get 0)
      (i32.or
        (i32.const 256)
        (i32.wrap_i64
          (i64.const 232))))
    (i64.store offset=24608 align=1
      (local.get 0)
      (local.get 3))
    (i32.store offset=24624 align=1
      (local.get 0)
      (i32.load offset=556 align=1
        (local.get 0)))
    (call 1
      (local.get 0)
      (i32.wrap_i64
        (i64.const 232)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 257))
      (then
        (local.set 2
          (call 0
            (i32.const 25165872)
            (i32.const 0)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (local.set 5
      (local.get 4))
    (local.set 6
      (local.get 5))
    (local.set 7
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 6)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load align=1
          (local.get 7))
        (i64.and
          (i64.add
            (local.get 6)
            (i64.const 7))
          (i64.const -4096)))
      (then
        (local.set 8
          (i32.add
            (i32.wrap_i64
              (local.get 6))
            (i32.atomic.load offset=8
              (local.get 7)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 6))
        (local.set 8
          (call 2
            (i32.const 25165872)
            (i32.const 8)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 8))
          (then
            (return
              (i32.const 0))))))
    (local.set 9
      (i64.load align=1
        (local.get 8)))
    (call 3
      (local.get 0)
      (i32.or
        (i32.const 1024)
        (i32.wrap_i64
          (i64.const 6)))
      (i64.add
        (local.get 3)
        (i64.const 2))
      (i32.wrap_i64
        (i64.const 3))
      (local.get 5))
    (call 4
      (local.get 0)
      (i32.wrap_i64
        (i64.const 6))
      (i32.const 1)
      (local.get 9))
    (local.set 2
      (call 5
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
  (export "block" (func 6)))
