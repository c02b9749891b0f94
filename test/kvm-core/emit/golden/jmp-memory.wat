;; 64-bit: jmp [rsi]
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (type (;3;) (func (result i32)))
  (import "e" "miss" (func (;0;) (type 1)))
  (import "e" "raise" (func (;1;) (type 2)))
  (import "e" "lookup" (func (;2;) (type 3)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;3;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i32 i32 i64 i64 i64 i64 i32 i32 i32)
    (local.set 2
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 3
      (local.get 2))
    (local.set 4
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
          (local.get 4))
        (i64.and
          (i64.add
            (local.get 3)
            (i64.const 7))
          (i64.const -4096)))
      (then
        (local.set 5
          (i32.add
            (i32.wrap_i64
              (local.get 3))
            (i32.atomic.load offset=8
              (local.get 4)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 3))
        (local.set 5
          (call 0
            (i32.const 25165856)
            (i32.const 8)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 5))
          (then
            (return
              (i32.const 0))))))
    (local.set 6
      (i64.load align=1
        (local.get 5)))
    (local.set 7
      (local.get 6))
    (local.set 8
      (local.get 7))
    (if  ;; label = @1
      (i64.ne
        (i64.shr_s
          (i64.shl
            (local.get 8)
            (i64.const 16))
          (i64.const 16))
        (local.get 8))
      (then
        (call 1
          (i32.const 25165856)
          (i32.const 13))
        (return
          (i32.const 0))))
    (local.set 9
      (local.get 7))
    (local.set 10
      (i32.add
        (local.get 0)
        (i32.shl
          (i32.and
            (i32.wrap_i64
              (i64.xor
                (local.get 9)
                (i64.shr_u
                  (local.get 9)
                  (i64.const 16))))
            (i32.const 65535))
          (i32.const 4))))
    (local.set 11
      (i32.xor
        (i32.load offset=3145740 align=1
          (local.get 10))
        (i32.load offset=32768 align=1
          (local.get 0))))
    (if  ;; label = @1
      (i32.and
        (i64.eq
          (i64.load offset=3145728 align=1
            (local.get 10))
          (local.get 9))
        (i32.lt_u
          (local.get 11)
          (i32.const 4096)))
      (then
        (i64.store offset=136 align=1
          (local.get 0)
          (i64.sub
            (local.get 9)
            (i64.extend_i32_u
              (local.get 11))))
        (return
          (i32.or
            (i32.load offset=3145736 align=1
              (local.get 10))
            (i32.const 1))))
      (else
        (i64.store offset=256 align=1
          (local.get 0)
          (local.get 9))
        (local.set 12
          (call 2))
        (return
          (local.get 12))))
    (return
      (i32.const 25165872)))
  (export "block" (func 3)))
