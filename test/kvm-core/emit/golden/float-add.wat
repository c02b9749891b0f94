;; 64-bit: addsd xmm0, xmm1
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i64 i64) (result i64)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "addsd" (func (;1;) (type 2)))
  (import "e" "simdException" (func (;2;) (type 1)))
  (import "e" "hlt" (func (;3;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;4;) (type 0) (param i32) (result i32)
    (local i32 i32 i64 i64 i64 i64 i32)
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
      (i64.reinterpret_f64
        (f64.add
          (f64.reinterpret_i64
            (local.get 4))
          (f64.reinterpret_i64
            (local.get 3)))))
    (if  ;; label = @1
      (i32.eqz
        (i32.and
          (i32.eq
            (i32.and
              (i32.load offset=24580 align=1
                (local.get 0))
              (i32.const 28704))
            (i32.const 4128))
          (i32.and
            (i32.and
              (i64.lt_u
                (i64.sub
                  (i64.shl
                    (local.get 4)
                    (i64.const 1))
                  (i64.const 9007199254740994))
                (i64.const -18014398509481987))
              (i64.lt_u
                (i64.sub
                  (i64.shl
                    (local.get 3)
                    (i64.const 1))
                  (i64.const 9007199254740994))
                (i64.const -18014398509481987)))
            (i64.lt_u
              (i64.sub
                (i64.shl
                  (local.get 5)
                  (i64.const 1))
                (i64.const 9007199254740994))
              (i64.const -18014398509481987)))))
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
    (i64.store offset=24768 align=1
      (local.get 0)
      (local.get 5))
    (local.set 2
      (call 3
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
  (export "block" (func 4)))
