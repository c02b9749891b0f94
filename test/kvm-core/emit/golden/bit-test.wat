;; 64-bit: bt eax, 5; bts [rsi], rcx
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "storeMiss" (func (;1;) (type 1)))
  (import "e" "hlt" (func (;2;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;3;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32 i32 i64 i64 i32 i64 i64)
    (local.set 3
      (i64.load align=1
        (local.get 0)))
    (local.set 6
      (i64.load offset=272 align=1
        (local.get 0)))
    (local.set 8
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 9
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 2
      (i64.shl
        (i64.const 1)
        (i64.const 5)))
    (local.set 4
      (i64.and
        (local.get 3)
        (i64.const 4294967295)))
    (local.set 5
      (i64.and
        (i64.shr_u
          (local.get 4)
          (i64.const 5))
        (i64.const 1)))
    (local.set 7
      (i64.shr_u
        (i64.xor
          (local.get 6)
          (i64.shl
            (local.get 6)
            (i64.const 1)))
        (i64.const 63)))
    (local.set 6
      (i64.or
        (i64.and
          (local.get 6)
          (i64.const 4611686018427387903))
        (i64.or
          (i64.shl
            (local.get 5)
            (i64.const 63))
          (i64.shl
            (i64.xor
              (local.get 5)
              (local.get 7))
            (i64.const 62)))))
    (local.set 2
      (local.get 8))
    (local.set 4
      (i64.and
        (local.get 2)
        (i64.const 63)))
    (local.set 5
      (i64.shl
        (i64.const 1)
        (local.get 4)))
    (local.set 7
      (i64.add
        (local.get 9)
        (i64.shl
          (i64.shr_s
            (local.get 2)
            (i64.const 6))
          (i64.const 3))))
    (local.set 10
      (local.get 7))
    (local.set 11
      (local.get 10))
    (if  ;; label = @1
      (i32.and
        (i32.eq
          (i32.load8_u offset=4
            (i32.const 25165872))
          (i32.const 144))
        (i32.eq
          (i32.load16_u align=1
            (i32.const 25165856))
          (i32.const 7)))
      (then
        (local.set 12
          (i64.load align=1
            (i32.add
              (local.get 0)
              (i32.load8_u offset=2
                (i32.const 25165856)))))
        (local.set 11
          (i64.add
            (i64.and
              (i64.sub
                (local.get 11)
                (local.get 12))
              (i64.const 4294967295))
            (local.get 12)))))
    (local.set 13
      (local.get 11))
    (local.set 14
      (local.get 13))
    (local.set 15
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 14)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load offset=16384 align=1
          (local.get 15))
        (i64.and
          (i64.add
            (local.get 14)
            (i64.const 7))
          (i64.const -4096)))
      (then
        (local.set 16
          (i32.add
            (i32.wrap_i64
              (local.get 14))
            (i32.atomic.load offset=16392
              (local.get 15)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 14))
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 6))
        (local.set 16
          (call 0
            (i32.const 25165872)
            (i32.const 264)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 16))
          (then
            (return
              (i32.const 0))))))
    (local.set 17
      (i64.load align=1
        (local.get 16)))
    (local.set 18
      (i64.or
        (local.get 17)
        (local.get 5)))
    (i64.store align=1
      (local.get 16)
      (local.get 18))
    (if  ;; label = @1
      (i32.eq
        (local.get 16)
        (i32.add
          (local.get 0)
          (i32.const 344)))
      (then
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 6))
        (local.set 19
          (call 1
            (i32.const 25165872)
            (i32.const 8)))
        (if  ;; label = @2
          (local.get 19)
          (then
            (return
              (i32.const 0))))
        (local.set 1
          (i32.ne
            (i32.load16_u align=1
              (i32.const 25165840))
            (i32.const 12)))))
    (local.set 20
      (i64.and
        (i64.shr_u
          (local.get 17)
          (local.get 4))
        (i64.const 1)))
    (local.set 21
      (i64.shr_u
        (i64.xor
          (local.get 6)
          (i64.shl
            (local.get 6)
            (i64.const 1)))
        (i64.const 63)))
    (local.set 6
      (i64.or
        (i64.and
          (local.get 6)
          (i64.const 4611686018427387903))
        (i64.or
          (i64.shl
            (local.get 20)
            (i64.const 63))
          (i64.shl
            (i64.xor
              (local.get 20)
              (local.get 21))
            (i64.const 62)))))
    (if  ;; label = @1
      (local.get 1)
      (then
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 6))
        (return
          (i32.const 25165888))))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 6))
    (local.set 15
      (call 2
        (i32.const 25165888)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 15)
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
  (export "block" (func 3)))
