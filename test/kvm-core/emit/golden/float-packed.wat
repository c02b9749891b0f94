;; 64-bit: mulps xmm0, [rsi]
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (type (;3;) (func (param i32 i32) (result i32)))
  (type (;4;) (func (param i32 v128 v128) (result v128)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "raise" (func (;1;) (type 2)))
  (import "e" "miss" (func (;2;) (type 3)))
  (import "e" "mulps" (func (;3;) (type 4)))
  (import "e" "simdException" (func (;4;) (type 1)))
  (import "e" "hlt" (func (;5;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;6;) (type 0) (param i32) (result i32)
    (local i32 i32 i64 i64 i64 i32 i32 v128 v128 v128 v128 i32)
    (local.set 3
      (i64.load offset=48 align=1
        (local.get 0)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 4))
      (then
        (local.set 2
          (call 0
            (i32.const 25165856)
            (i32.const 2)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (local.set 4
      (local.get 3))
    (if  ;; label = @1
      (i32.wrap_i64
        (i64.and
          (local.get 4)
          (i64.const 15)))
      (then
        (call 1
          (i32.const 25165856)
          (i32.const 13))
        (return
          (i32.const 0))))
    (local.set 5
      (local.get 4))
    (local.set 6
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 5)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load align=1
          (local.get 6))
        (i64.and
          (i64.add
            (local.get 5)
            (i64.const 15))
          (i64.const -4096)))
      (then
        (local.set 7
          (i32.add
            (i32.wrap_i64
              (local.get 5))
            (i32.atomic.load offset=8
              (local.get 6)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 5))
        (local.set 7
          (call 2
            (i32.const 25165856)
            (i32.const 16)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 7))
          (then
            (return
              (i32.const 0))))))
    (local.set 8
      (v128.load align=1
        (local.get 7)))
    (local.set 9
      (v128.load offset=24768 align=1
        (local.get 0)))
    (local.set 10
      (f32x4.mul
        (local.get 9)
        (local.get 8)))
    (if  ;; label = @1
      (i32.eqz
        (i32.and
          (i32.eq
            (i32.and
              (i32.load offset=24580 align=1
                (local.get 0))
              (i32.const 28704))
            (i32.const 4128))
          (i32.eq
            (i32x4.bitmask
              (v128.and
                (f32x4.gt
                  (f32x4.pmin
                    (f32x4.pmin
                      (f32x4.abs
                        (local.get 9))
                      (f32x4.abs
                        (local.get 8)))
                    (f32x4.abs
                      (local.get 10)))
                  (f32x4.splat
                    (f32.const 0x1p-126 (;=1.17549e-38;))))
                (f32x4.le
                  (f32x4.abs
                    (local.get 10))
                  (f32x4.splat
                    (f32.const 0x1.fffffep+127 (;=3.40282e+38;))))))
            (i32.const 15))))
      (then
        (local.set 11
          (call 3
            (local.get 0)
            (local.get 9)
            (local.get 8)))
        (if  ;; label = @2
          (i32.load offset=24584 align=1
            (local.get 0))
          (then
            (local.set 12
              (call 4
                (i32.const 25165856)
                (i32.const 0)
                (i32.const 0)))
            (return
              (i32.const 0))))
        (local.set 10
          (local.get 11))))
    (v128.store offset=24768 align=1
      (local.get 0)
      (local.get 10))
    (local.set 2
      (call 5
        (i32.const 25165872)
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
      (i32.const 25165888)))
  (export "block" (func 6)))
