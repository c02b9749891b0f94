/*
 * Through all modes and back: real mode, protected mode of 16 and 32 bits, long mode with compatibility and 64-bit code,
 * then down to real mode again, unreal mode included. What each step finds is printed to port 0xe9.
 * Specs: SDM volume 3, "Mode Switching" and "Initializing IA-32e Mode".
 * Starts as a boot sector does, at 0000:7C00, but is read as a whole. Left out: an answer to anything that goes wrong: the
 * output tells.
 */
#define PORT    0xe9
#define CODE32  0x08
#define DATA32  0x10
#define CODE64  0x18
#define CODE16  0x20
#define DATA16  0x28            /* base 0x20000, 64 KiB */
#define SMALL   0x30            /* base 0x30000, 256 bytes */
#define DOWN    0x38            /* base 0x30000, expand-down, above 0xfff */

        .text
        .code16
        .globl  _start
_start:
        cli
        ljmp    $0, $real
real:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    $interrupt, 0x20 * 4
        movw    $0, 0x20 * 4 + 2
        movw    $overflow, 0x0d * 4             /* #GP */
        movw    $0, 0x0d * 4 + 2
        movw    $real_text, %si
        lcall   $0x07c0, $print_far - 0x7c00
        int     $0x20

        /* A decimal number, the way that real-mode programs made it. */
        movb    $42, %al
        aam
        addw    $0x3030, %ax
        xchgb   %al, %ah
        movw    %ax, number
        movw    $number_text, %si
        callw   print

        /* One word that would run over the end of a segment. */
        movw    $0xffff, %bx
        movw    (%bx), %ax

        /* 16-bit protected mode: a segment with a base, then back by a far return. */
        lgdtl   gdt_pointer
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmp    $CODE16, $protected16
protected16:
        movw    $DATA16, %ax
        movw    %ax, %ss
        movw    $0x8000, %sp
        pushl   $0x16161616
        popl    %ecx
        ljmpl   $CODE32, $protected32

        .code32
protected32:
        movw    $DATA32, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7c00, %esp
        cmpl    $0x16161616, 0x27ffc
        jne     1f
        movl    $protected_text, %esi
        call    print32
1:
        /* Segments with bases and limits. */
        movw    $SMALL, %ax
        movw    %ax, %fs
        movl    $0x1234567, %fs:0xfc
        movw    $DOWN, %ax
        movw    %ax, %gs
        movl    %gs:0x1000, %eax
        movl    %fs:0xfc, %eax
        cmpl    %eax, 0x300fc
        jne     1f
        movl    $segment_text, %esi
        call    print32
1:
        /* Long mode: 1 GiB in 2 MiB pages, of which the first is enough. */
        movl    $0x11003, 0x10000
        movl    $0x12003, 0x11000
        movl    $0x83, 0x12000
        movl    $0x10000, %eax
        movl    %eax, %cr3
        movl    $0x20, %eax                     /* PAE */
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx               /* EFER */
        rdmsr
        orl     $0x100, %eax                    /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax               /* PG */
        movl    %eax, %cr0
        movl    $compatibility_text, %esi
        call    print32
        ljmp    $CODE64, $long64

        .code64
long64:
        movl    $0x7c00, %esp
        movq    $0x123456789abcdef0, %rax
        movq    %rax, %r15
        rolq    $4, %r15
        movq    $0x23456789abcdef01, %rcx
        cmpq    %rcx, %r15
        jne     1f
        leaq    long_text(%rip), %rsi
        call    print64
1:
        pushq   $CODE32
        leaq    back32(%rip), %rax
        pushq   %rax
        lretq

        .code32
back32:
        movl    %cr0, %eax
        andl    $0x7fffffff, %eax
        movl    %eax, %cr0                      /* paging off: long mode is left */
        movl    $0xc0000080, %ecx
        rdmsr
        andl    $~0x100, %eax
        wrmsr
        movl    $back_text, %esi
        call    print32
        ljmp    $CODE16, $back16

        .code16
back16:
        movw    $DATA16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $DATA32, %ax
        movw    %ax, %fs                        /* 4 GiB, which real mode keeps */
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0, $real_again
real_again:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        int     $0x20
        movw    %ax, %fs
        movl    $0x123000, %ebx
        movl    $0x600dcafe, %fs:(%ebx)
        cmpl    $0x600dcafe, %fs:(%ebx)
        jne     1f
        movw    $unreal_text, %si
        callw   print
1:
        hlt

/* SI: text. */
print_far:
        callw   print                           /* CS is 07c0 here, and the distance is the same */
        lretw
print:
        cld
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, $PORT
        jmp     1b
2:      retw

interrupt:
        pushaw
        movw    $interrupt_text, %si
        callw   print
        popaw
        iretw

/* #GP in real mode: the instruction is 2 bytes long. */
overflow:
        pushw   %bp
        movw    %sp, %bp
        addw    $2, 2(%bp)
        popw    %bp
        pushaw
        movw    $overflow_text, %si
        callw   print
        popaw
        iretw

        .code32
print32:
        lodsb
        testb   %al, %al
        jz      1f
        outb    %al, $PORT
        jmp     print32
1:      ret

        .code64
print64:
        lodsb
        testb   %al, %al
        jz      1f
        outb    %al, $PORT
        jmp     print64
1:      ret

real_text:
        .asciz  "real mode\n"
interrupt_text:
        .asciz  "interrupt\n"
overflow_text:
        .asciz  "segment overrun\n"
number_text:
        .ascii  "decimal "
number:
        .asciz  "??\n"
protected_text:
        .asciz  "protected mode, 16 and 32 bits\n"
segment_text:
        .asciz  "segments\n"
compatibility_text:
        .asciz  "compatibility mode\n"
long_text:
        .asciz  "64-bit mode\n"
back_text:
        .asciz  "protected mode again\n"
unreal_text:
        .asciz  "unreal mode\n"

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9b000000ffff              /* CODE32 */
        .quad   0x00cf93000000ffff              /* DATA32 */
        .quad   0x00af9b000000ffff              /* CODE64 */
        .quad   0x00009b000000ffff              /* CODE16 */
        .quad   0x000093020000ffff              /* DATA16 */
        .quad   0x00409303000000ff              /* SMALL */
        .quad   0x0040970300000fff              /* DOWN */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
