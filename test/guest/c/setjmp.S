/*
 * setjmp and longjmp: the registers that a function has to keep, the stack pointer, and where to return to.
 * Specs: System V ABI, AMD64 3.2.1 and i386 2.2.
 * Left out: MXCSR and the x87 control word, which the program does not change.
 */
        .globl  setjmp, longjmp
        .text
#ifdef __x86_64__
setjmp:
        mov     %rbx, (%rdi)
        mov     %rbp, 8(%rdi)
        mov     %r12, 16(%rdi)
        mov     %r13, 24(%rdi)
        mov     %r14, 32(%rdi)
        mov     %r15, 40(%rdi)
        lea     8(%rsp), %rax
        mov     %rax, 48(%rdi)
        mov     (%rsp), %rax
        mov     %rax, 56(%rdi)
        xor     %eax, %eax
        ret
longjmp:
        mov     (%rdi), %rbx
        mov     8(%rdi), %rbp
        mov     16(%rdi), %r12
        mov     24(%rdi), %r13
        mov     32(%rdi), %r14
        mov     40(%rdi), %r15
        mov     48(%rdi), %rsp
        mov     %esi, %eax
        jmp     *56(%rdi)
#else
setjmp:
        mov     4(%esp), %ecx
        mov     %ebx, (%ecx)
        mov     %ebp, 4(%ecx)
        mov     %esi, 8(%ecx)
        mov     %edi, 12(%ecx)
        lea     4(%esp), %eax
        mov     %eax, 16(%ecx)
        mov     (%esp), %eax
        mov     %eax, 20(%ecx)
        xor     %eax, %eax
        ret
longjmp:
        mov     8(%esp), %eax
        mov     4(%esp), %ecx
        mov     (%ecx), %ebx
        mov     4(%ecx), %ebp
        mov     8(%ecx), %esi
        mov     12(%ecx), %edi
        mov     16(%ecx), %esp
        jmp     *20(%ecx)
#endif
        .section .note.GNU-stack, "", @progbits
