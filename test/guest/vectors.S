/*
 * Entry of exceptions 0 to 31 and of interrupts 0x20 to 0x2f: saves what C may change and calls interrupt(frame).
 * Spec: SDM vol. 3, "Exception- and Interrupt-Handler Procedures", "64-Bit Mode Stack Frame".
 */
#define ERROR_CODES     0x60227d00      /* exceptions 8, 10-14, 17, 21, 29, 30 push one; for the others we push 0 */

        .globl  vectors
        .balign 16
vectors:
        .set    vector, 0
        .rept   48
        .balign 16                      /* so that entry n is at vectors + 16 n */
        .if     !((ERROR_CODES >> vector) & 1 & (vector < 32))
        push    $0
        .endif
        push    $vector
        jmp     common
        .set    vector, vector + 1
        .endr

common:
#ifdef __x86_64__
        push    %rax
        push    %rcx
        push    %rdx
        push    %rsi
        push    %rdi
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        lea     72(%rsp), %rdi
        cld
        call    interrupt
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rdi
        pop     %rsi
        pop     %rdx
        pop     %rcx
        pop     %rax
        add     $16, %rsp               /* vector, error code */
        iretq
#else
        push    %eax
        push    %ecx
        push    %edx
        lea     12(%esp), %eax
        push    %eax
        cld
        call    interrupt
        add     $4, %esp
        pop     %edx
        pop     %ecx
        pop     %eax
        add     $8, %esp
        iret
#endif
