;; 64-bit: lahf; sahf; cmc; cld
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i32) (result i32)))
  (import "e" "hlt" (func (;0;) (type 1)))
  (import "e" "memory" (memory (;0;) 65536 65536 shared))
  (func (;1;) (type 0) (param i32) (result i32)
    (local i32 i64 i64 i64 i64 i64 i32)
    (local.set 2
      (i64.load offset=272 align=1
        (local.get 0)))
    (local.set 3
      (i64.load offset=264 align=1
        (local.get 0)))
    (local.set 5
      (i64.load align=1
        (local.get 0)))
    (local.set 4
      (i64.or
        (i64.or
          (i64.or
            (i64.or
              (i64.shl
                (i64.extend_i32_u
                  (i64.lt_s
                    (i64.xor
                      (local.get 3)
                      (i64.shl
                        (local.get 2)
                        (i64.const 2)))
                    (i64.const 0)))
                (i64.const 7))
              (i64.shl
                (i64.extend_i32_u
                  (i64.eqz
                    (local.get 3)))
                (i64.const 6)))
            (i64.shl
              (i64.extend_i32_u
                (i32.eqz
                  (i32.and
                    (i32.popcnt
                      (i32.wrap_i64
                        (i64.and
                          (i64.xor
                            (local.get 3)
                            (i64.shr_u
                              (local.get 2)
                              (i64.const 8)))
                          (i64.const 255))))
                    (i32.const 1))))
              (i64.const 2)))
          (i64.shl
            (i64.and
              (i64.shr_u
                (local.get 2)
                (i64.const 3))
              (i64.const 1))
            (i64.const 4)))
        (i64.or
          (i64.shr_u
            (local.get 2)
            (i64.const 63))
          (i64.const 2))))
    (local.set 5
      (i64.or
        (i64.and
          (local.get 5)
          (i64.const -65536))
        (i64.and
          (i64.or
            (i64.and
              (i64.and
                (local.get 5)
                (i64.const 65535))
              (i64.const 255))
            (i64.shl
              (local.get 4)
              (i64.const 8)))
          (i64.const 65535))))
    (local.set 4
      (i64.shr_u
        (i64.and
          (local.get 5)
          (i64.const 65535))
        (i64.const 8)))
    (local.set 6
      (i64.shr_u
        (i64.xor
          (local.get 2)
          (i64.shl
            (local.get 2)
            (i64.const 1)))
        (i64.const 63)))
    (local.set 2
      (i64.or
        (i64.or
          (i64.or
            (i64.shl
              (i64.and
                (local.get 4)
                (i64.const 1))
              (i64.const 63))
            (i64.shl
              (i64.xor
                (i64.and
                  (local.get 4)
                  (i64.const 1))
                (local.get 6))
              (i64.const 62)))
          (i64.shl
            (i64.xor
              (i64.and
                (i64.shr_u
                  (local.get 4)
                  (i64.const 6))
                (i64.const 1))
              (i64.and
                (i64.shr_u
                  (local.get 4)
                  (i64.const 2))
                (i64.const 1)))
            (i64.const 8)))
        (i64.or
          (i64.shl
            (i64.and
              (i64.shr_u
                (local.get 4)
                (i64.const 7))
              (i64.const 1))
            (i64.const 61))
          (i64.shl
            (i64.and
              (i64.shr_u
                (local.get 4)
                (i64.const 4))
              (i64.const 1))
            (i64.const 3)))))
    (local.set 3
      (i64.xor
        (i64.and
          (i64.shr_u
            (local.get 4)
            (i64.const 6))
          (i64.const 1))
        (i64.const 1)))
    (local.set 4
      (i64.xor
        (i64.shr_u
          (local.get 2)
          (i64.const 63))
        (i64.const 1)))
    (local.set 6
      (i64.shr_u
        (i64.xor
          (local.get 2)
          (i64.shl
            (local.get 2)
            (i64.const 1)))
        (i64.const 63)))
    (local.set 2
      (i64.or
        (i64.and
          (local.get 2)
          (i64.const 4611686018427387903))
        (i64.or
          (i64.shl
            (local.get 4)
            (i64.const 63))
          (i64.shl
            (i64.xor
              (local.get 4)
              (local.get 6))
            (i64.const 62)))))
    (i32.store offset=280 align=1
      (local.get 0)
      (i32.and
        (i32.load offset=280 align=1
          (local.get 0))
        (i32.const -1025)))
    (i64.store align=1
      (local.get 0)
      (local.get 5))
    (i64.store offset=272 align=1
      (local.get 0)
      (local.get 2))
    (i64.store offset=264 align=1
      (local.get 0)
      (local.get 3))
    (local.set 7
      (call 0
        (i32.const 25165920)
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
      (i32.const 25165936)))
  (export "block" (func 1)))
