;; 64-bit: ucomisd xmm0, xmm1; ja .+16
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i64 i64) (result i32)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "ucomisd" (func (;1;) (type 2)))
  (import "e" "simdException" (func (;2;) (type 1)))
  (import "e" "hlt" (func (;3;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;4;) (type 0) (param i32) (result i32)
    (local i32 i32 i64 i64 i32 i32 i32 i64 i64 i64)
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
    (local.set 3
      (i64.load offset=24768 align=1
        (i32.add
          (local.get 0)
          (i32.const 16))))
    (local.set 4
      (i64.load offset=24768 align=1
        (local.get 0)))
    (local.set 5
      (i32.or
        (f64.eq
          (f64.reinterpret_i64
            (local.get 4))
          (f64.reinterpret_i64
            (local.get 3)))
        (i32.shl
          (f64.lt
            (f64.reinterpret_i64
              (local.get 3))
            (f64.reinterpret_i64
              (local.get 4)))
          (i32.const 1))))
    (if  ;; label = @1
      (i32.eqz
        (i32.and
          (i32.or
            (i64.eqz
              (i64.shl
                (local.get 4)
                (i64.const 1)))
            (i64.lt_u
              (i64.sub
                (i64.shl
                  (local.get 4)
                  (i64.const 1))
                (i64.const 9007199254740992))
              (i64.const -18014398509481983)))
          (i32.or
            (i64.eqz
              (i64.shl
                (local.get 3)
                (i64.const 1)))
            (i64.lt_u
              (i64.sub
                (i64.shl
                  (local.get 3)
                  (i64.const 1))
                (i64.const 9007199254740992))
              (i64.const -18014398509481983)))))
      (then
        (local.set 6
          (call 1
            (local.get 0)
            (local.get 4)
            (local.get 3)))
        (if  ;; label = @2
          (i32.load offset=24584 align=1
            (local.get 0))
          (then
            (local.set 7
              (call 2
                (i32.const 25165856)
                (i32.const 0)
                (i32.const 0)))
            (return
              (i32.const 0))))
        (local.set 5
          (local.get 6))))
    (local.set 8
      (i64.extend_i32_u
        (local.get 5)))
    (local.set 9
      (i64.or
        (i64.or
          (i64.shl
            (i64.xor
              (i64.and
                (i64.xor
                  (local.get 8)
                  (i64.shr_u
                    (local.get 8)
                    (i64.const 1)))
                (i64.const 1))
              (i64.const 1))
            (i64.const 63))
          (i64.shl
            (i64.xor
              (i64.and
                (i64.xor
                  (local.get 8)
                  (i64.shr_u
                    (local.get 8)
                    (i64.const 1)))
                (i64.const 1))
              (i64.const 1))
            (i64.const 62)))
        (i64.shl
          (i64.extend_i32_u
            (i64.eq
              (local.get 8)
              (i64.const 1)))
          (i64.const 8))))
    (local.set 10
      (i64.xor
        (i64.and
          (local.get 8)
          (i64.const 1))
        (i64.const 1)))
    (if  ;; label = @1
      (i32.eqz
        (i32.or
          (i64.lt_s
            (local.get 9)
            (i64.const 0))
          (i64.eqz
            (local.get 10))))
      (then
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 9))
        (i64.store offset=264 align=1
          (local.get 0)
          (local.get 10))
        (return
          (i32.or
            (i32.load offset=8 align=1
              (i32.const 25165872))
            (i32.const 1)))))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 9))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 10))
    (local.set 2
      (call 3
        (i32.const 25165904)
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
      (i32.const 25165920)))
  (export "block" (func 4)))
