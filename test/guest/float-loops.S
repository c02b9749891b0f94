/*
 * The compute loops of bench.c that use SSE and x87, in assembler so that every compiler measures the same instructions.
 * How many instructions a round has stands in bench.c's table. All numbers stay ordinary: no infinity, NaN or denormal.
 */
        .globl  double_loop, vector_loop, extended_loop

        .section .rodata
        .balign 16
shuffle:
        .byte   3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14
golden: .long   0x9e3779b9, 0x7f4a7c15, 0xf39cc060, 0x5ceda834
step:   .double 0.001953125
one:    .double 1.0
        .text

/* u64 double_loop(double table[512], u64 rounds): scalar double arithmetic; 16 instructions a round. */
double_loop:
        xor     %ecx, %ecx
        xorps   %xmm3, %xmm3
        movsd   step(%rip), %xmm5
        movsd   one(%rip), %xmm6
1:      cvtsi2sd %rcx, %xmm0                    /* x = 1 + i / 512 */
        mulsd   %xmm5, %xmm0
        addsd   %xmm6, %xmm0
        movapd  %xmm0, %xmm1
        mulsd   %xmm0, %xmm1
        addsd   %xmm6, %xmm1
        sqrtsd  %xmm1, %xmm2                    /* sqrt(x x + 1) / x */
        divsd   %xmm0, %xmm2
        addsd   (%rdi,%rcx,8), %xmm2
        mulsd   %xmm5, %xmm2
        movsd   %xmm2, (%rdi,%rcx,8)
        addsd   %xmm2, %xmm3
        inc     %ecx
        and     $511, %ecx
        dec     %rsi
        jnz     1b
        movq    %xmm3, %rax
        ret

/* u64 vector_loop(u8 table[4096], u64 rounds): integers of 128 bits, a load and a store; 13 instructions a round. */
vector_loop:
        xor     %ecx, %ecx
        movdqa  golden(%rip), %xmm1
        movdqa  shuffle(%rip), %xmm5
1:      movdqa  (%rdi,%rcx), %xmm0
        paddd   %xmm1, %xmm0
        pshufd  $0x4e, %xmm0, %xmm2
        pmuludq %xmm0, %xmm2
        pshufb  %xmm5, %xmm0
        pxor    %xmm2, %xmm1
        psrld   $3, %xmm2
        pxor    %xmm2, %xmm0
        movdqa  %xmm0, (%rdi,%rcx)
        add     $16, %ecx
        and     $4095, %ecx
        dec     %rsi
        jnz     1b
        pxor    %xmm1, %xmm0
        movq    %xmm0, %rax
        ret

/* u64 extended_loop(double table[512], u64 rounds): x87, a load and a store; 13 instructions a round. */
extended_loop:
        xor     %ecx, %ecx
        fldz
1:      fldl    (%rdi,%rcx,8)
        fadds   half(%rip)
        fld     %st(0)
        fmul    %st(0), %st(0)
        fld1
        faddp
        fdivrp                                  /* x / (x x + 1), x = table + 1/2 */
        fadd    %st(0), %st(1)
        fstpl   (%rdi,%rcx,8)
        inc     %ecx
        and     $511, %ecx
        dec     %rsi
        jnz     1b
        fstpl   (%rdi)
        mov     (%rdi), %rax
        ret
        .section .rodata
half:   .float  0.5
        .section .note.GNU-stack, "", @progbits
