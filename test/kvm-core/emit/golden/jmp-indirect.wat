;; 64-bit: jmp rax
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32)))
  (type (;2;) (func (result i32)))
  (import "e" "raise" (func (;0;) (type 1)))
  (import "e" "lookup" (func (;1;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i32 i32 i32)
    (local.set 2
      (i64.load align=1
        (local.get 0)))
    (local.set 3
      (local.get 2))
    (local.set 4
      (local.get 3))
    (if  ;; label = @1
      (i64.ne
        (i64.shr_s
          (i64.shl
            (local.get 4)
            (i64.const 16))
          (i64.const 16))
        (local.get 4))
      (then
        (call 0
          (i32.const 25165856)
          (i32.const 13))
        (return
          (i32.const 0))))
    (local.set 5
      (local.get 3))
    (local.set 6
      (i32.add
        (local.get 0)
        (i32.shl
          (i32.and
            (i32.wrap_i64
              (i64.xor
                (local.get 5)
                (i64.shr_u
                  (local.get 5)
                  (i64.const 16))))
            (i32.const 65535))
          (i32.const 4))))
    (local.set 7
      (i32.xor
        (i32.load offset=3145740 align=1
          (local.get 6))
        (i32.load offset=32768 align=1
          (local.get 0))))
    (if  ;; label = @1
      (i32.and
        (i64.eq
          (i64.load offset=3145728 align=1
            (local.get 6))
          (local.get 5))
        (i32.lt_u
          (local.get 7)
          (i32.const 4096)))
      (then
        (i64.store offset=136 align=1
          (local.get 0)
          (i64.sub
            (local.get 5)
            (i64.extend_i32_u
              (local.get 7))))
        (return
          (i32.or
            (i32.load offset=3145736 align=1
              (local.get 6))
            (i32.const 1))))
      (else
        (i64.store offset=256 align=1
          (local.get 0)
          (local.get 5))
        (local.set 8
          (call 1))
        (return
          (local.get 8))))
    (return
      (i32.const 25165872)))
  (export "block" (func 2)))
