;; 64-bit: lock cmpxchg [rsi], ecx
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "lockedStore" (func (;1;) (type 1)))
  (import "e" "hlt" (func (;2;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;3;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i32 i32 i64 i64 i32 i64 i64 i64 i32 i64 i64 i32 i64 i64 i64 i64 i64 i64)
    (local.set 2
      (i64.load align=1
        (local.get 0)))
    (local.set 4
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 12
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 23
      (i64.load offset=272 align=1
        (local.get 0)))
    (local.set 24
      (i64.load offset=264 align=1
        (local.get 0)))
    (loop  ;; label = @1
      (local.set 3
        (i64.and
          (local.get 2)
          (i64.const 4294967295)))
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
      (if  ;; label = @2
        (i64.eq
          (i64.load offset=16384 align=1
            (local.get 7))
          (i64.and
            (i64.add
              (local.get 6)
              (i64.const 3))
            (i64.const -4096)))
        (then
          (local.set 8
            (i32.add
              (i32.wrap_i64
                (local.get 6))
              (i32.atomic.load offset=16392
                (local.get 7)))))
        (else
          (i64.store offset=320 align=1
            (local.get 0)
            (local.get 6))
          (local.set 8
            (call 0
              (i32.const 25165856)
              (i32.const 260)))
          (if  ;; label = @3
            (i32.eqz
              (local.get 8))
            (then
              (return
                (i32.const 0))))))
      (local.set 9
        (i64.load32_u align=1
          (local.get 8)))
      (local.set 10
        (local.get 9))
      (local.set 11
        (i64.eq
          (i64.and
            (local.get 3)
            (i64.const 4294967295))
          (i64.and
            (local.get 10)
            (i64.const 4294967295))))
      (local.set 13
        (select
          (i64.and
            (local.get 12)
            (i64.const 4294967295))
          (local.get 10)
          (local.get 11)))
      (if  ;; label = @2
        (local.get 11)
        (then
          (local.set 14
            (local.get 13))
          (if  ;; label = @3
            (i32.or
              (i32.eq
                (local.get 8)
                (i32.add
                  (local.get 0)
                  (i32.const 344)))
              (i32.and
                (local.get 8)
                (i32.const 3)))
            (then
              (i64.store offset=320 align=1
                (local.get 0)
                (local.get 5))
              (i64.store offset=328 align=1
                (local.get 0)
                (local.get 9))
              (i64.store offset=344 align=1
                (local.get 0)
                (local.get 14))
              (local.set 15
                (call 1
                  (i32.const 25165856)
                  (i32.const 4)))
              (if  ;; label = @4
                (i32.eq
                  (local.get 15)
                  (i32.const 1))
                (then
                  (return
                    (i32.const 0))))
              (br_if 2 (;@1;)
                (local.get 15))
              (local.set 1
                (i32.ne
                  (i32.load16_u align=1
                    (i32.const 25165840))
                  (i32.const 12))))
            (else
              (local.set 16
                (i64.atomic.rmw32.cmpxchg_u
                  (local.get 8)
                  (local.get 9)
                  (local.get 14)))
              (br_if 2 (;@1;)
                (i64.ne
                  (local.get 16)
                  (local.get 9))))))
        (else
          (local.set 17
            (local.get 13))
          (if  ;; label = @3
            (i32.or
              (i32.eq
                (local.get 8)
                (i32.add
                  (local.get 0)
                  (i32.const 344)))
              (i32.and
                (local.get 8)
                (i32.const 3)))
            (then
              (i64.store offset=320 align=1
                (local.get 0)
                (local.get 5))
              (i64.store offset=328 align=1
                (local.get 0)
                (local.get 9))
              (i64.store offset=344 align=1
                (local.get 0)
                (local.get 17))
              (local.set 18
                (call 1
                  (i32.const 25165856)
                  (i32.const 4)))
              (if  ;; label = @4
                (i32.eq
                  (local.get 18)
                  (i32.const 1))
                (then
                  (return
                    (i32.const 0))))
              (br_if 2 (;@1;)
                (local.get 18))
              (local.set 1
                (i32.ne
                  (i32.load16_u align=1
                    (i32.const 25165840))
                  (i32.const 12))))
            (else
              (local.set 19
                (i64.atomic.rmw32.cmpxchg_u
                  (local.get 8)
                  (local.get 9)
                  (local.get 17)))
              (br_if 2 (;@1;)
                (i64.ne
                  (local.get 19)
                  (local.get 9)))))
          (local.set 2
            (i64.and
              (local.get 10)
              (i64.const 4294967295)))))
      (local.set 20
        (i64.sub
          (local.get 3)
          (local.get 10)))
      (local.set 21
        (i64.xor
          (local.get 3)
          (i64.const -1)))
      (local.set 22
        (i64.or
          (i64.and
            (local.get 21)
            (local.get 10))
          (i64.and
            (i64.or
              (local.get 21)
              (local.get 10))
            (local.get 20))))
      (local.set 23
        (i64.or
          (i64.and
            (i64.shl
              (local.get 22)
              (i64.const 32))
            (i64.const -4611686018427387904))
          (i64.and
            (local.get 22)
            (i64.const 8))))
      (local.set 24
        (i64.extend32_s
          (local.get 20))))
    (if  ;; label = @1
      (local.get 1)
      (then
        (i64.store align=1
          (local.get 0)
          (local.get 2))
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 23))
        (i64.store offset=264 align=1
          (local.get 0)
          (local.get 24))
        (return
          (i32.const 25165872))))
    (i64.store align=1
      (local.get 0)
      (local.get 2))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 23))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 24))
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
