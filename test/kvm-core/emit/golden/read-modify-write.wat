;; 64-bit: add dword ptr [rsi], 1
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32) (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "storeMiss" (func (;1;) (type 1)))
  (import "e" "hlt" (func (;2;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;3;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i32 i32 i64 i64 i64 i32 i64 i64 i64)
    (local.set 2
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 3
      (local.get 2))
    (local.set 4
      (local.get 3))
    (local.set 5
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 4)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load offset=16384 align=1
          (local.get 5))
        (i64.and
          (i64.add
            (local.get 4)
            (i64.const 3))
          (i64.const -4096)))
      (then
        (local.set 6
          (i32.add
            (i32.wrap_i64
              (local.get 4))
            (i32.atomic.load offset=16392
              (local.get 5)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 4))
        (local.set 6
          (call 0
            (i32.const 25165856)
            (i32.const 260)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 6))
          (then
            (return
              (i32.const 0))))))
    (local.set 7
      (i64.load32_u align=1
        (local.get 6)))
    (local.set 8
      (local.get 7))
    (local.set 9
      (i64.add
        (local.get 8)
        (i64.const 1)))
    (i64.store32 align=1
      (local.get 6)
      (local.get 9))
    (if  ;; label = @1
      (i32.eq
        (local.get 6)
        (i32.add
          (local.get 0)
          (i32.const 344)))
      (then
        (local.set 10
          (call 1
            (i32.const 25165856)
            (i32.const 4)))
        (if  ;; label = @2
          (local.get 10)
          (then
            (return
              (i32.const 0))))
        (local.set 1
          (i32.ne
            (i32.load16_u align=1
              (i32.const 25165840))
            (i32.const 12)))))
    (local.set 11
      (i64.or
        (i64.and
          (local.get 8)
          (i64.const 1))
        (i64.and
          (i64.or
            (local.get 8)
            (i64.const 1))
          (i64.xor
            (local.get 9)
            (i64.const -1)))))
    (local.set 12
      (i64.or
        (i64.and
          (i64.shl
            (local.get 11)
            (i64.const 32))
          (i64.const -4611686018427387904))
        (i64.and
          (local.get 11)
          (i64.const 8))))
    (local.set 13
      (i64.extend32_s
        (local.get 9)))
    (if  ;; label = @1
      (local.get 1)
      (then
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 12))
        (i64.store offset=264 align=1
          (local.get 0)
          (local.get 13))
        (return
          (i32.const 25165872))))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 12))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 13))
    (local.set 5
      (call 2
        (i32.const 25165872)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 5)
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
