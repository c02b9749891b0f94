;; 64-bit: sub cl, dl; sbb rax, [rsi]
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "hlt" (func (;1;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i64 i64)
    (local.set 2
      (i64.load offset=16 align=1
        (local.get 0)))
    (local.set 4
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 11
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 14
      (i64.load align=1
        (local.get 0)))
    (local.set 3
      (i64.and
        (local.get 2)
        (i64.const 255)))
    (local.set 5
      (i64.and
        (local.get 4)
        (i64.const 255)))
    (local.set 6
      (i64.sub
        (local.get 5)
        (local.get 3)))
    (local.set 4
      (i64.or
        (i64.and
          (local.get 4)
          (i64.const -256))
        (i64.and
          (local.get 6)
          (i64.const 255))))
    (local.set 7
      (i64.xor
        (local.get 5)
        (i64.const -1)))
    (local.set 8
      (i64.or
        (i64.and
          (local.get 7)
          (local.get 3))
        (i64.and
          (i64.or
            (local.get 7)
            (local.get 3))
          (local.get 6))))
    (local.set 9
      (i64.or
        (i64.and
          (i64.shl
            (local.get 8)
            (i64.const 56))
          (i64.const -4611686018427387904))
        (i64.and
          (local.get 8)
          (i64.const 8))))
    (local.set 10
      (i64.extend8_s
        (local.get 6)))
    (local.set 3
      (local.get 11))
    (local.set 12
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 3)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load align=1
          (local.get 12))
        (i64.and
          (i64.add
            (local.get 3)
            (i64.const 7))
          (i64.const -4096)))
      (then
        (local.set 13
          (i32.add
            (i32.wrap_i64
              (local.get 3))
            (i32.atomic.load offset=8
              (local.get 12)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 3))
        (i64.store offset=8 align=1
          (local.get 0)
          (local.get 4))
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 9))
        (i64.store offset=264 align=1
          (local.get 0)
          (local.get 10))
        (local.set 13
          (call 0
            (i32.const 25165872)
            (i32.const 8)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 13))
          (then
            (return
              (i32.const 0))))))
    (local.set 5
      (i64.load align=1
        (local.get 13)))
    (local.set 6
      (local.get 5))
    (local.set 7
      (local.get 14))
    (local.set 8
      (i64.sub
        (i64.sub
          (local.get 7)
          (local.get 6))
        (i64.shr_u
          (local.get 9)
          (i64.const 63))))
    (local.set 14
      (local.get 8))
    (local.set 15
      (i64.xor
        (local.get 7)
        (i64.const -1)))
    (local.set 9
      (i64.and
        (i64.or
          (i64.and
            (local.get 15)
            (local.get 6))
          (i64.and
            (i64.or
              (local.get 15)
              (local.get 6))
            (local.get 8)))
        (i64.const -4611686018427387896)))
    (local.set 10
      (local.get 8))
    (i64.store offset=8 align=1
      (local.get 0)
      (local.get 4))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 9))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 10))
    (i64.store align=1
      (local.get 0)
      (local.get 14))
    (local.set 12
      (call 1
        (i32.const 25165888)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 12)
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
