/*
 * The compute loops of bench.c, in assembler so that every compiler measures the same instructions.
 * How many instructions a round has stands in bench.c's table.
 */
        .globl  mixing_loop, fibonacci, memory_loop

/* u64 mixing_loop(u64 table[512], u64 rounds): 9 instructions a round, a load and a store among them. */
mixing_loop:
        push    %rbx
        mov     %rsi, %rbx
        xor     %ecx, %ecx
        mov     $1, %edx
1:      mov     (%rdi,%rcx,8), %rax
        add     %rdx, %rax
        rol     $7, %rax
        xor     %rax, %rdx
        mov     %rax, (%rdi,%rcx,8)
        inc     %rcx
        and     $511, %rcx
        dec     %rbx
        jnz     1b
        mov     %rdx, %rax
        pop     %rbx
        ret

/* u64 fibonacci(u64 n): calls, returns, pushes and pops; 9 instructions for n < 2, else 14 and the two calls. */
fibonacci:
        push    %rbx
        push    %rbp
        mov     %rdi, %rbx
        cmp     $1, %rdi
        jle     1f
        lea     -1(%rbx), %rdi
        call    fibonacci
        mov     %rax, %rbp
        lea     -2(%rbx), %rdi
        call    fibonacci
        add     %rbp, %rax
        pop     %rbp
        pop     %rbx
        ret
1:      mov     %rdi, %rax
        pop     %rbp
        pop     %rbx
        ret

/* u64 memory_loop(u8 table[4096 + 16], u64 rounds): read-modify-write in four widths; 22 instructions a round. */
memory_loop:
        xor     %r8d, %r8d
        movabs  $88172645463325252, %rdx        /* Marsaglia's seed for this xorshift */
1:      mov     %rdx, %rax
        shl     $13, %rax
        xor     %rax, %rdx
        mov     %rdx, %rax
        shr     $7, %rax
        xor     %rax, %rdx
        mov     %edx, %eax
        and     $0xff8, %eax
        addl    $1, (%rdi,%rax)
        addb    %dl, 4(%rdi,%rax)
        xorw    %dx, 6(%rdi,%rax)
        mov     (%rdi,%rax), %rcx
        test    $4, %edx
        jz      2f
        add     %rcx, %r8
        jmp     3f
2:      sub     $3, %r8
        nop                                     /* so that both ways are as long */
3:      mov     %r8, 4096(%rdi)
        push    %rax
        pop     %r9
        add     %r9, 4104(%rdi)
        dec     %rsi
        jnz     1b
        mov     4104(%rdi), %rax
        xor     %r8, %rax
        ret
