;; 32-bit: fld dword ptr [esi]; fstp dword ptr [esi]
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (type (;2;) (func (param i32 i32) (result i32)))
  (type (;3;) (func (param i32 i32 i64 i32 i64)))
  (type (;4;) (func (param i32 i32 i64)))
  (type (;5;) (func (param i32 i32) (result i64)))
  (type (;6;) (func (param i32 i32)))
  (import "e" "fpuTrap" (func (;0;) (type 1)))
  (import "e" "miss" (func (;1;) (type 2)))
  (import "e" "x87Operand" (func (;2;) (type 3)))
  (import "e" "x87Load" (func (;3;) (type 4)))
  (import "e" "x87Store" (func (;4;) (type 5)))
  (import "e" "storeMiss" (func (;5;) (type 2)))
  (import "e" "x87Stored" (func (;6;) (type 6)))
  (import "e" "hlt" (func (;7;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;8;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i32 i64 i64 i32 i32 i64 i64 i64 i64 i32 i32)
    (local.set 2
      (i64.load offset=48 align=1
        (local.get 0)))
    (local.set 10
      (i64.load offset=136 align=1
        (local.get 0)))
    (local.set 3
      (i64.and
        (local.get 2)
        (i64.const 4294967295)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 257))
      (then
        (i64.store offset=144 align=1
          (local.get 0)
          (local.get 3))
        (local.set 4
          (call 0
            (i32.const 25165872)
            (i32.const 0)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (local.set 5
      (local.get 3))
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
    (if  ;; label = @1
      (i64.eq
        (i64.load align=1
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
            (i32.atomic.load offset=8
              (local.get 7)))))
      (else
        (i64.store offset=320 align=1
          (local.get 0)
          (local.get 6))
        (i64.store offset=144 align=1
          (local.get 0)
          (local.get 3))
        (local.set 8
          (call 1
            (i32.const 25165872)
            (i32.const 4)))
        (if  ;; label = @2
          (i32.eqz
            (local.get 8))
          (then
            (return
              (i32.const 0))))))
    (local.set 9
      (i64.load32_u align=1
        (local.get 8)))
    (call 2
      (local.get 0)
      (i32.or
        (i32.const 256)
        (i32.wrap_i64
          (i64.const 6)))
      (local.get 10)
      (i32.wrap_i64
        (i64.const 3))
      (local.get 5))
    (call 3
      (local.get 0)
      (i32.const 0)
      (local.get 9))
    (local.set 3
      (i64.and
        (local.get 2)
        (i64.const 4294967295)))
    (if  ;; label = @1
      (i32.and
        (i32.load offset=24576 align=1
          (local.get 0))
        (i32.const 257))
      (then
        (i64.store offset=144 align=1
          (local.get 0)
          (local.get 3))
        (local.set 4
          (call 0
            (i32.const 25165904)
            (i32.const 0)
            (i32.const 0)))
        (return
          (i32.const 0))))
    (local.set 5
      (local.get 3))
    (local.set 6
      (call 4
        (local.get 0)
        (i32.const 0)))
    (if  ;; label = @1
      (i32.eqz
        (i32.and
          (i32.and
            (i32.load offset=24584 align=1
              (local.get 0))
            (i32.xor
              (i32.load offset=24588 align=1
                (local.get 0))
              (i32.const -1)))
          (i32.const 31)))
      (then
        (local.set 9
          (local.get 5))
        (local.set 11
          (local.get 6))
        (local.set 7
          (i32.add
            (i32.load offset=288 align=1
              (local.get 0))
            (i32.and
              (i32.wrap_i64
                (i64.shr_u
                  (local.get 9)
                  (i64.const 8)))
              (i32.const 16368))))
        (if  ;; label = @2
          (i64.eq
            (i64.load offset=16384 align=1
              (local.get 7))
            (i64.and
              (i64.add
                (local.get 9)
                (i64.const 3))
              (i64.const -4096)))
          (then
            (i64.store32 align=1
              (i32.add
                (i32.wrap_i64
                  (local.get 9))
                (i32.atomic.load offset=16392
                  (local.get 7)))
              (local.get 11)))
          (else
            (i64.store offset=320 align=1
              (local.get 0)
              (local.get 9))
            (i64.store offset=344 align=1
              (local.get 0)
              (local.get 11))
            (i64.store offset=144 align=1
              (local.get 0)
              (local.get 3))
            (local.set 8
              (call 5
                (i32.const 25165904)
                (i32.const 4)))
            (if  ;; label = @3
              (local.get 8)
              (then
                (return
                  (i32.const 0))))
            (local.set 1
              (i32.ne
                (i32.load16_u align=1
                  (i32.const 25165840))
                (i32.const 12))))))
      (else
        (local.set 12
          (local.get 5))
        (local.set 13
          (i32.add
            (i32.load offset=288 align=1
              (local.get 0))
            (i32.and
              (i32.wrap_i64
                (i64.shr_u
                  (local.get 12)
                  (i64.const 8)))
              (i32.const 16368))))
        (if  ;; label = @2
          (i64.eq
            (i64.load offset=16384 align=1
              (local.get 13))
            (i64.and
              (i64.add
                (local.get 12)
                (i64.const 3))
              (i64.const -4096)))
          (then
            (local.set 14
              (i32.add
                (i32.wrap_i64
                  (local.get 12))
                (i32.atomic.load offset=16392
                  (local.get 13)))))
          (else
            (i64.store offset=320 align=1
              (local.get 0)
              (local.get 12))
            (i64.store offset=144 align=1
              (local.get 0)
              (local.get 3))
            (local.set 14
              (call 1
                (i32.const 25165904)
                (i32.const 772)))
            (if  ;; label = @3
              (i32.eqz
                (local.get 14))
              (then
                (return
                  (i32.const 0))))))))
    (call 2
      (local.get 0)
      (i32.or
        (i32.const 256)
        (i32.wrap_i64
          (i64.const 30)))
      (i64.add
        (local.get 10)
        (i64.const 2))
      (i32.wrap_i64
        (i64.const 3))
      (local.get 5))
    (call 6
      (local.get 0)
      (i32.and
        (i32.shr_u
          (i32.wrap_i64
            (i64.const 30))
          (i32.const 3))
        (i32.const 1)))
    (if  ;; label = @1
      (local.get 1)
      (then
        (i64.store offset=144 align=1
          (local.get 0)
          (local.get 3))
        (return
          (i32.const 25165920))))
    (i64.store offset=144 align=1
      (local.get 0)
      (local.get 3))
    (local.set 4
      (call 7
        (i32.const 25165920)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 4)
      (then
        (return
          (i32.const 0))))
    (local.set 1
      (i32.ne
        (i32.load16_u align=1
          (i32.const 25165840))
        (i32.const 12)))
    (return
      (i32.const 25165936)))
  (export "block" (func 8)))
