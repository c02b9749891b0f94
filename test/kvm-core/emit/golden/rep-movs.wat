;; 64-bit: rep movsb
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32 i32)))
  (type (;2;) (func (param i32 i32) (result i32)))
  (type (;3;) (func (param i32 i32 i32) (result i32)))
  (import "e" "copyRun" (func (;0;) (type 1)))
  (import "e" "miss" (func (;1;) (type 2)))
  (import "e" "storeMiss" (func (;2;) (type 2)))
  (import "e" "hlt" (func (;3;) (type 3)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;4;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i64 i32 i32 i64 i64 i32 i32 i64 i64 i64 i64 i32 i32 i64)
    (local.set 2
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 6
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 9
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
          (local.set 4
            (i64.const 1))
          (local.set 5
            (i64.const 0))
          (if  ;; label = @3
            (i32.eqz
              (i32.or
                (i64.lt_u
                  (local.get 3)
                  (i64.const 64))
                (i32.and
                  (i32.shr_u
                    (i32.load offset=280 align=1
                      (local.get 0))
                    (i32.const 10))
                  (i32.const 1))))
            (then
              (local.set 7
                (local.get 6))
              (local.set 8
                (local.get 7))
              (local.set 10
                (local.get 9))
              (local.set 11
                (local.get 10))
              (local.set 12
                (select
                  (local.get 3)
                  (i64.const 4096)
                  (i64.lt_u
                    (local.get 3)
                    (i64.const 4096))))
              (local.set 13
                (i64.sub
                  (i64.const 4096)
                  (i64.and
                    (local.get 8)
                    (i64.const 4095))))
              (local.set 12
                (select
                  (local.get 13)
                  (local.get 12)
                  (i64.lt_u
                    (local.get 13)
                    (local.get 12))))
              (local.set 14
                (i64.sub
                  (i64.const 4096)
                  (i64.and
                    (local.get 11)
                    (i64.const 4095))))
              (local.set 12
                (select
                  (local.get 14)
                  (local.get 12)
                  (i64.lt_u
                    (local.get 14)
                    (local.get 12))))
              (local.set 12
                (i64.and
                  (local.get 12)
                  (i64.const -1)))
              (local.set 15
                (local.get 8))
              (local.set 16
                (i32.add
                  (i32.load offset=288 align=1
                    (local.get 0))
                  (i32.and
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 15)
                        (i64.const 8)))
                    (i32.const 16368))))
              (local.set 17
                (select
                  (i32.add
                    (i32.wrap_i64
                      (local.get 15))
                    (i32.atomic.load offset=8
                      (local.get 16)))
                  (i32.const 0)
                  (i32.and
                    (i64.eq
                      (i64.load align=1
                        (local.get 16))
                      (i64.and
                        (local.get 15)
                        (i64.const -4096)))
                    (i32.eqz
                      (i32.or
                        (i32.atomic.load offset=284
                          (local.get 0))
                        (i32.atomic.load offset=4096
                          (local.get 0)))))))
              (local.set 18
                (local.get 11))
              (local.set 19
                (i32.add
                  (i32.load offset=288 align=1
                    (local.get 0))
                  (i32.and
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 18)
                        (i64.const 8)))
                    (i32.const 16368))))
              (local.set 20
                (select
                  (i32.add
                    (i32.wrap_i64
                      (local.get 18))
                    (i32.atomic.load offset=16392
                      (local.get 19)))
                  (i32.const 0)
                  (i32.and
                    (i64.eq
                      (i64.load offset=16384 align=1
                        (local.get 19))
                      (i64.and
                        (local.get 18)
                        (i64.const -4096)))
                    (i32.eqz
                      (i32.or
                        (i32.atomic.load offset=284
                          (local.get 0))
                        (i32.atomic.load offset=4096
                          (local.get 0)))))))
              (if  ;; label = @4
                (i32.and
                  (i32.and
                    (i32.and
                      (i64.ge_u
                        (local.get 12)
                        (i64.const 64))
                      (i32.ne
                        (local.get 17)
                        (i32.const 0)))
                    (i32.ne
                      (local.get 20)
                      (i32.const 0)))
                  (i32.or
                    (i32.eq
                      (local.get 17)
                      (local.get 20))
                    (i32.ge_u
                      (i32.sub
                        (local.get 20)
                        (local.get 17))
                      (i32.wrap_i64
                        (local.get 12)))))
                (then
                  (call 0
                    (local.get 0)
                    (local.get 20)
                    (local.get 17)
                    (i32.wrap_i64
                      (local.get 12)))
                  (local.set 5
                    (local.get 12))))))
          (if  ;; label = @3
            (i64.ne
              (local.get 5)
              (i64.const 0))
            (then
              (local.set 4
                (local.get 5))
              (local.set 6
                (i64.add
                  (local.get 6)
                  (local.get 5)))
              (local.set 9
                (i64.add
                  (local.get 9)
                  (local.get 5))))
            (else
              (local.set 21
                (local.get 6))
              (local.set 22
                (local.get 21))
              (local.set 23
                (i32.add
                  (i32.load offset=288 align=1
                    (local.get 0))
                  (i32.and
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 22)
                        (i64.const 8)))
                    (i32.const 16368))))
              (if  ;; label = @4
                (i64.eq
                  (i64.load align=1
                    (local.get 23))
                  (i64.and
                    (local.get 22)
                    (i64.const -4096)))
                (then
                  (local.set 24
                    (i32.add
                      (i32.wrap_i64
                        (local.get 22))
                      (i32.atomic.load offset=8
                        (local.get 23)))))
                (else
                  (i64.store offset=320 align=1
                    (local.get 0)
                    (local.get 22))
                  (i64.store offset=48 align=1
                    (local.get 0)
                    (local.get 6))
                  (i64.store offset=56 align=1
                    (local.get 0)
                    (local.get 9))
                  (local.set 24
                    (call 1
                      (i32.const 25165856)
                      (i32.const 1)))
                  (if  ;; label = @5
                    (i32.eqz
                      (local.get 24))
                    (then
                      (return
                        (i32.const 0))))))
              (local.set 25
                (i64.load8_u
                  (local.get 24)))
              (local.set 26
                (local.get 9))
              (local.set 27
                (local.get 26))
              (local.set 28
                (local.get 25))
              (local.set 29
                (i32.add
                  (i32.load offset=288 align=1
                    (local.get 0))
                  (i32.and
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 27)
                        (i64.const 8)))
                    (i32.const 16368))))
              (if  ;; label = @4
                (i64.eq
                  (i64.load offset=16384 align=1
                    (local.get 29))
                  (i64.and
                    (local.get 27)
                    (i64.const -4096)))
                (then
                  (i64.store8
                    (i32.add
                      (i32.wrap_i64
                        (local.get 27))
                      (i32.atomic.load offset=16392
                        (local.get 29)))
                    (local.get 28)))
                (else
                  (i64.store offset=320 align=1
                    (local.get 0)
                    (local.get 27))
                  (i64.store offset=344 align=1
                    (local.get 0)
                    (local.get 28))
                  (i64.store offset=48 align=1
                    (local.get 0)
                    (local.get 6))
                  (i64.store offset=56 align=1
                    (local.get 0)
                    (local.get 9))
                  (local.set 30
                    (call 2
                      (i32.const 25165856)
                      (i32.const 1)))
                  (if  ;; label = @5
                    (local.get 30)
                    (then
                      (return
                        (i32.const 0))))
                  (local.set 1
                    (i32.ne
                      (i32.load16_u align=1
                        (i32.const 25165840))
                      (i32.const 12)))))
              (local.set 6
                (i64.add
                  (local.get 6)
                  (select
                    (i64.const -1)
                    (i64.const 1)
                    (i32.and
                      (i32.shr_u
                        (i32.load offset=280 align=1
                          (local.get 0))
                        (i32.const 10))
                      (i32.const 1)))))
              (local.set 9
                (i64.add
                  (local.get 9)
                  (select
                    (i64.const -1)
                    (i64.const 1)
                    (i32.and
                      (i32.shr_u
                        (i32.load offset=280 align=1
                          (local.get 0))
                        (i32.const 10))
                      (i32.const 1)))))))
          (local.set 31
            (i64.sub
              (local.get 3)
              (local.get 4)))
          (local.set 2
            (local.get 31))
          (if  ;; label = @3
            (i64.ne
              (local.get 31)
              (i64.const 0))
            (then
              (i64.store offset=48 align=1
                (local.get 0)
                (local.get 6))
              (i64.store offset=56 align=1
                (local.get 0)
                (local.get 9))
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
          (local.get 6))
        (i64.store offset=56 align=1
          (local.get 0)
          (local.get 9))
        (i64.store offset=8 align=1
          (local.get 0)
          (local.get 2))
        (return
          (i32.const 25165872))))
    (i64.store offset=48 align=1
      (local.get 0)
      (local.get 6))
    (i64.store offset=56 align=1
      (local.get 0)
      (local.get 9))
    (i64.store offset=8 align=1
      (local.get 0)
      (local.get 2))
    (local.set 16
      (call 3
        (i32.const 25165872)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 16)
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
