;; 64-bit: test eax, eax; jz .+0x2000
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "hlt" (func (;0;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i64 i32)
    (local.set 2
      (i64.load align=1
        (local.get 0)))
    (local.set 7
      (i64.load offset=136 align=1
        (local.get 0)))
    (local.set 3
      (i64.and
        (local.get 2)
        (i64.const 4294967295)))
    (local.set 4
      (i64.and
        (i64.and
          (local.get 2)
          (i64.const 4294967295))
        (local.get 3)))
    (local.set 5
      (i64.const 0))
    (local.set 6
      (i64.extend32_s
        (local.get 4)))
    (if  ;; label = @1
      (i64.eqz
        (local.get 6))
      (then
        (local.set 3
          (i64.add
            (local.get 7)
            (i64.const 8192)))
        (i64.store offset=136 align=1
          (local.get 0)
          (local.get 3))
        (i64.store offset=272 align=1
          (local.get 0)
          (local.get 5))
        (i64.store offset=264 align=1
          (local.get 0)
          (local.get 6))
        (return
          (i32.or
            (select
              (i32.load offset=8 align=1
                (i32.const 25165872))
              (i32.const 25165888)
              (i32.eq
                (i32.and
                  (i32.load offset=4 align=1
                    (i32.const 25165872))
                  (i32.const 16777215))
                (i32.and
                  (i32.wrap_i64
                    (i64.shr_u
                      (local.get 3)
                      (i64.const 12)))
                  (i32.const 16777215))))
            (i32.const 1)))))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 5))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 6))
    (local.set 8
      (call 0
        (i32.const 25165904)
        (i32.const 0)
        (i32.const 0)))
    (if  ;; label = @1
      (local.get 8)
      (then
        (return
          (i32.const 0))))
    (local.set 1
      (i32.ne
        (i32.load16_u align=1
          (i32.const 25165840))
        (i32.const 12)))
    (return
      (i32.const 25165920)))
  (export "block" (func 1)))
