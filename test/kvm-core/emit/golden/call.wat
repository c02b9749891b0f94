;; 64-bit: call .+64
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32)))
  (import "e" "storeMiss" (func (;0;) (type 1)))
  (import "e" "raise" (func (;1;) (type 2)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i32 i32)
    (local.set 2
      (i64.load offset=136 align=1
        (local.get 0)))
    (local.set 4
      (i64.load offset=32 align=1
        (local.get 0)))
    (local.set 3
      (i64.add
        (local.get 2)
        (i64.const 5)))
    (local.set 5
      (i64.sub
        (local.get 4)
        (i64.const 8)))
    (local.set 6
      (local.get 5))
    (local.set 7
      (local.get 3))
    (local.set 8
      (i32.add
        (i32.load offset=288 align=1
          (local.get 0))
        (i32.and
          (i32.wrap_i64
            (i64.shr_u
              (local.get 6)
              (i64.const 8)))
          (i32.const 16368))))
    (if  ;; label = @1
      (i64.eq
        (i64.load offset=16384 align=1
          (local.get 8))
        (i64.and
          (i64.add
            (local.get 6)
            (i64.const 7))
          (i64.const -4096)))
      (then
        (i64.store align=1
          (i32.add
            (i32.wrap_i64
              (local.get 6))
            (i32.atomic.load offset=16392
              (local.get 8)))
          (local.get 7)))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 6))
        (i64.store offset=344 align=1
          (local.get 0)
          (local.get 7))
        (if  ;; label = @2
          (i32.or
            (i64.ne
              (i64.shr_s
                (i64.shl
                  (i64.load offset=320 align=1
                    (local.get 0))
                  (i64.const 16))
                (i64.const 16))
              (i64.load offset=320 align=1
                (local.get 0)))
            (i64.ne
              (i64.shr_s
                (i64.shl
                  (i64.add
                    (i64.load offset=320 align=1
                      (local.get 0))
                    (i64.const 7))
                  (i64.const 16))
                (i64.const 16))
              (i64.add
                (i64.load offset=320 align=1
                  (local.get 0))
                (i64.const 7))))
          (then
            (call 1
              (i32.const 25165856)
              (i32.const 12))
            (return
              (i32.const 0))))
        (local.set 9
          (call 0
            (i32.const 25165856)
            (i32.const 8)))
        (if  ;; label = @2
          (local.get 9)
          (then
            (return
              (i32.const 0))))
        (local.set 1
          (i32.ne
            (i32.load16_u align=1
              (i32.const 25165840))
            (i32.const 12)))))
    (local.set 4
      (local.get 5))
    (i64.store offset=32 align=1
      (local.get 0)
      (local.get 4))
    (return
      (i32.or
        (i32.load offset=8 align=1
          (i32.const 25165856))
        (i32.const 1)))
    (return
      (i32.const 25165888)))
  (export "block" (func 2)))
