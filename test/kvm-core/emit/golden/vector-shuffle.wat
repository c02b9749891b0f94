;; 64-bit: pshufd xmm0, xmm1, 0x1b; punpcklbw mm0, mm1
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "hlt" (func (;1;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32 i32 v128 v128 v128)
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
      (v128.load offset=24768 align=1
        (i32.add
          (local.get 0)
          (i32.const 16))))
    (v128.store offset=24768 align=1
      (local.get 0)
      (i8x16.shuffle 12 13 14 15 8 9 10 11 4 5 6 7 0 1 2 3
        (local.get 3)
        (local.get 3)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 258))
      (then
        (local.set 2
          (call 0
            (i32.const 25165872)
            (i32.const 1)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (local.set 3
      (v128.load64_zero offset=24640 align=1
        (local.get 0)))
    (local.set 4
      (v128.load64_zero offset=24640 align=1
        (i32.add
          (local.get 0)
          (i32.const 16))))
    (local.set 5
      (local.get 4))
    (i64.store offset=24640 align=1
      (local.get 0)
      (i64x2.extract_lane 0
        (i8x16.shuffle 0 16 1 17 2 18 3 19 0 16 1 17 2 18 3 19
          (local.get 3)
          (local.get 5))))
    (i64.store offset=24648 align=1
      (local.get 0)
      (i64.const 65535))
    (i32.store offset=24596 align=1
      (local.get 0)
      (i32.const 0))
    (i32.store offset=24600 align=1
      (local.get 0)
      (i32.const 255))
    (local.set 2
      (call 1
        (i32.const 25165888)
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
      (i32.const 25165904)))
  (export "block" (func 2)))
