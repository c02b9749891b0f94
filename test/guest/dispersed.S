/*
 * A program with much code and no loops: 29,127 functions of 144 bytes and 29 instructions, no two alike, that call each
 * other as the nodes of a binary tree; 844,683 instructions in 4 MiB. A walk goes through all functions, in each over 28
 * instructions. For bench.c, and natively for the bench's peer.
 * It names no address of its own, so it may be copied elsewhere and run there.
 */
        .set    FUNCTION, 144
        .set    FUNCTIONS, 29127
        .set    INNER, FUNCTIONS / 2            /* nodes below have two children, the others none */

/* u64 dispersed(u8 table[4096 + 16], u64 seed): every function once, the last ones included. */
        .globl  dispersed, dispersed_end
        .balign 4096
dispersed:

        .set    node, 0
        .rept   FUNCTIONS
1:      push    %rbx
        mov     %rsi, %rbx
        add     $node * 0x9e37 + 0x1357, %rsi
        mov     %rsi, %rax
        shr     $7, %rax
        xor     %rax, %rsi
        movzbl  %bl, %ecx
        add     (%rdi,%rcx,8), %rsi
        test    $1 << (node & 7), %bl
        jz      2f
        lea     node(%rsi,%rsi,2), %rsi         /* keeps the flags */
2:      jnz     3f                              /* so that both ways are as long */
        lea     node + 0x12345(%rsi), %rsi
3:      add     %esi, (node & 0x3ff) * 4(%rdi)
        .if     node < INNER
        call    dispersed + FUNCTION * (2 * node + 1)
        .else
        or      $node, %eax
        .endif
        mov     %rsi, %rax
        rol     $node & 31, %rax
        sub     %rbx, %rax
        movzbl  %al, %ecx
        cmp     $node & 127, %ecx
        adc     %rax, %rsi
        mov     %ax, 0x800 + (node & 0x1ff) * 4(%rdi)
        .if     node < INNER
        call    dispersed + FUNCTION * (2 * node + 2)
        .else
        and     $0x7fff - (node & 0xff), %eax
        .endif
        imul    $node | 0x10001, %esi, %eax
        add     %rax, %rsi
        xor     %rbx, %rsi
        mov     %rsi, %rax
        pop     %rbx
        ret
        .org    1b + FUNCTION, 0xcc
        .set    node, node + 1
        .endr
dispersed_end:
