;; 64-bit: mul rcx; imul eax, edx, 100
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "hlt" (func (;0;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i32)
    (local.set 2
      (i64.load offset=8 align=1
        (local.get 0)))
    (local.set 4
      (i64.load align=1
        (local.get 0)))
    (local.set 3
      (local.get 2))
    (local.set 5
      (local.get 4))
    (local.set 6
      (i64.mul
        (local.get 5)
        (local.get 3)))
    (local.set 7
      (i64.and
        (local.get 5)
        (i64.const 4294967295)))
    (local.set 8
      (i64.shr_u
        (local.get 5)
        (i64.const 32)))
    (local.set 9
      (i64.and
        (local.get 3)
        (i64.const 4294967295)))
    (local.set 10
      (i64.shr_u
        (local.get 3)
        (i64.const 32)))
    (local.set 11
      (i64.add
        (i64.mul
          (local.get 8)
          (local.get 9))
        (i64.shr_u
          (i64.mul
            (local.get 7)
            (local.get 9))
          (i64.const 32))))
    (local.set 12
      (i64.add
        (i64.mul
          (local.get 7)
          (local.get 10))
        (i64.and
          (local.get 11)
          (i64.const 4294967295))))
    (local.set 13
      (i64.add
        (i64.mul
          (local.get 8)
          (local.get 10))
        (i64.add
          (i64.shr_u
            (local.get 11)
            (i64.const 32))
          (i64.shr_u
            (local.get 12)
            (i64.const 32)))))
    (local.set 4
      (local.get 6))
    (local.set 14
      (local.get 13))
    (local.set 15
      (i64.extend_i32_u
        (i64.ne
          (local.get 13)
          (i64.const 0))))
    (local.set 16
      (i64.or
        (i64.shl
          (local.get 15)
          (i64.const 63))
        (i64.shl
          (i64.xor
            (local.get 15)
            (local.get 15))
          (i64.const 62))))
    (local.set 17
      (local.get 6))
    (local.set 3
      (i64.extend32_s
        (i64.const 100)))
    (local.set 5
      (i64.extend32_s
        (i64.and
          (local.get 14)
          (i64.const 4294967295))))
    (local.set 6
      (i64.mul
        (local.get 5)
        (local.get 3)))
    (local.set 4
      (i64.and
        (local.get 6)
        (i64.const 4294967295)))
    (local.set 7
      (i64.extend_i32_u
        (i64.ne
          (local.get 6)
          (i64.extend32_s
            (local.get 6)))))
    (local.set 16
      (i64.or
        (i64.shl
          (local.get 7)
          (i64.const 63))
        (i64.shl
          (i64.xor
            (local.get 7)
            (local.get 7))
          (i64.const 62))))
    (local.set 17
      (i64.extend32_s
        (local.get 6)))
    (i64.store align=1
      (local.get 0)
      (local.get 4))
    (i64.store offset=16 align=1
      (local.get 0)
      (local.get 14))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 16))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 17))
    (local.set 18
      (call 0
        (i32.const 25165888)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 18)
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
  (export "block" (func 1)))
