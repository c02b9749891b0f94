;; 64-bit: rep movsb
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "storeMiss" (func (;1;) (type 1)))
  (import "e" "hlt" (func (;2;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;3;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i32 i32 i64 i64 i64 i64 i64 i32 i32 i64)
    (local.set 2
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 4
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 10
      (i64.load offset=56 align=1
        (local.get 0)))
    (loop  ;; label = @1
      (local.set 3
        (local.get 2))
      (if  ;; label = @2
        (i64.ne
          (local.get 3)
          (i64.const 0))
        (then
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
          (if  ;; label = @3
            (i64.eq
              (i64.load align=1
                (local.get 7))
              (i64.and
                (local.get 6)
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
                (call 0
                  (i32.const 25165856)
                  (i32.const 1)))
              (if  ;; label = @4
                (i32.eqz
                  (local.get 8))
                (then
                  (return
                    (i32.const 0))))))
          (local.set 9
            (i64.load8_u
              (local.get 8)))
          (local.set 11
            (local.get 10))
          (local.set 12
            (local.get 11))
          (local.set 13
            (local.get 9))
          (local.set 14
            (i32.add
              (i32.load offset=288 align=1
                (local.get 0))
              (i32.and
                (i32.wrap_i64
                  (i64.shr_u
                    (local.get 12)
                    (i64.const 8)))
                (i32.const 16368))))
          (if  ;; label = @3
            (i64.eq
              (i64.load offset=16384 align=1
                (local.get 14))
              (i64.and
                (local.get 12)
                (i64.const -4096)))
            (then
              (i64.store8
                (i32.add
                  (i32.wrap_i64
                    (local.get 12))
                  (i32.atomic.load offset=16392
                    (local.get 14)))
                (local.get 13)))
            (else
              (i64.store offset=320 align=1
                (local.get 0)
                (local.get 12))
              (i64.store offset=344 align=1
                (local.get 0)
                (local.get 13))
              (local.set 15
                (call 1
                  (i32.const 25165856)
                  (i32.const 1)))
              (if  ;; label = @4
                (local.get 15)
                (then
                  (return
                    (i32.const 0))))
              (local.set 1
                (i32.ne
                  (i32.load16_u align=1
                    (i32.const 25165840))
                  (i32.const 12)))))
          (local.set 4
            (i64.add
              (local.get 4)
              (select
                (i64.const -1)
                (i64.const 1)
                (i32.and
                  (i32.shr_u
                    (i32.load offset=280 align=1
                      (local.get 0))
                    (i32.const 10))
                  (i32.const 1)))))
          (local.set 10
            (i64.add
              (local.get 10)
              (select
                (i64.const -1)
                (i64.const 1)
                (i32.and
                  (i32.shr_u
                    (i32.load offset=280 align=1
                      (local.get 0))
                    (i32.const 10))
                  (i32.const 1)))))
          (local.set 16
            (i64.sub
              (local.get 3)
              (i64.const 1)))
          (local.set 2
            (local.get 16))
          (if  ;; label = @3
            (i64.ne
              (local.get 16)
              (i64.const 0))
            (then
              (i64.store offset=48 align=1
                (local.get 0)
                (local.get 4))
              (i64.store offset=56 align=1
                (local.get 0)
                (local.get 10))
              (i64.store offset=8 align=1
                (local.get 0)
                (local.get 2))
              (if  ;; label = @4
                (i32.or
                  (i32.or
                    (i32.atomic.load offset=284
                      (local.get 0))
                    (i32.atomic.load offset=4096
                      (local.get 0)))
                  (local.get 1))
                (then
                  (return
                    (i32.const 25165857))))
              (br 2 (;@1;)))))))
    (if  ;; label = @1
      (local.get 1)
      (then
        (i64.store offset=48 align=1
          (local.get 0)
          (local.get 4))
        (i64.store offset=56 align=1
          (local.get 0)
          (local.get 10))
        (i64.store offset=8 align=1
          (local.get 0)
          (local.get 2))
        (return
          (i32.const 25165872))))
    (i64.store offset=48 align=1
      (local.get 0)
      (local.get 4))
    (i64.store offset=56 align=1
      (local.get 0)
      (local.get 10))
    (i64.store offset=8 align=1
      (local.get 0)
      (local.get 2))
    (local.set 7
      (call 2
        (i32.const 25165872)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 7)
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
  (export "block" (func 3)))
