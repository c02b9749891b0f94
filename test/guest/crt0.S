/*
 * The start of every guest: multiboot header, PVH note, and the way from either entry to start(magic, info).
 * Specs: Multiboot 0.6.96, 3.1 and 3.2; Xen PVH boot ABI (XEN_ELFNOTE_PHYS32_ENTRY);
 * SDM vol. 3, "Initializing IA-32e Mode".
 * Both entries: flat 32-bit protected mode, paging and interrupts off, EBX = physical address of the boot information.
 * Left out: clearing .bss, which the loader has done; a TSS, since nothing here leaves ring 0.
 */
#define CODE    0x08
#define DATA    0x10

#define MULTIBOOT_MAGIC 0x1badb002
#define PAGE_ALIGN      (1 << 0)        /* modules begin on a page */
#define MEMORY_INFO     (1 << 1)        /* mem_* and mmap_* wanted */
#define ADDRESSES       (1 << 16)       /* load by the addresses below, not by the ELF headers */

#ifdef __x86_64__
#define MULTIBOOT_FLAGS (PAGE_ALIGN | MEMORY_INFO | ADDRESSES)  /* multiboot knows no ELF64 */
#define POINTER         .quad
#define POINTER_SIZE    8
#else
#define MULTIBOOT_FLAGS (PAGE_ALIGN | MEMORY_INFO)
#define POINTER         .long
#define POINTER_SIZE    4
#endif

        .section .multiboot, "a"
        .balign 4
multiboot_header:
        .long   MULTIBOOT_MAGIC
        .long   MULTIBOOT_FLAGS
        .long   -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
#ifdef __x86_64__
        .long   multiboot_header
        .long   image_start
        .long   data_end
        .long   bss_end
        .long   multiboot_entry
#endif

        .section .note.pvh, "a", @note
        .balign 4
        .long   4, POINTER_SIZE, 18             /* name size, value size, XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        POINTER pvh_entry

        .text
        .code32
        .globl  pvh_entry, multiboot_entry
pvh_entry:
        movl    (%ebx), %eax                    /* hvm_start_info begins with its magic; multiboot has its own in EAX */
multiboot_entry:
        cld
        lgdt    gdt_pointer
        movl    $DATA, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        movl    %ecx, %fs
        movl    %ecx, %gs
        movl    %ecx, %ss
        movl    $stack_end, %esp

#ifdef __x86_64__
        movl    %eax, %edi                      /* start()'s two arguments */
        movl    %ebx, %esi

        /* Identity map of 4 GiB in 2 MiB pages. The upper halves of all entries stay zero. */
        movl    $page_directory_pointers + 3, page_map
        movl    $page_directories + 0x0003, page_directory_pointers
        movl    $page_directories + 0x1003, page_directory_pointers + 8
        movl    $page_directories + 0x2003, page_directory_pointers + 16
        movl    $page_directories + 0x3003, page_directory_pointers + 24
        movl    $page_directories, %edx
        movl    $0x83, %eax                     /* present, writable, 2 MiB */
1:      movl    %eax, (%edx)
        addl    $8, %edx
        addl    $0x200000, %eax
        jnc     1b                              /* a carry: 4 GiB are done */

        movl    $page_map, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x20, %eax                     /* PAE */
        movl    %eax, %cr4
        movl    $0xc0000080, %ecx               /* EFER */
        rdmsr
        orl     $0x100, %eax                    /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000000, %eax               /* PG: long mode is active now, in a compatibility segment */
        movl    %eax, %cr0
        ljmp    $CODE, $long_mode
        .code64
long_mode:
        movl    $stack_end, %esp                /* the upper half of RSP is undefined after the switch */
        call    start
#else
        ljmp    $CODE, $flat_mode
flat_mode:
        pushl   %ebx
        pushl   %eax
        call    start
#endif

        .section .rodata
        .balign 8
gdt:
        .quad   0
#ifdef __x86_64__
        .quad   0x00af9b000000ffff              /* code: 64-bit, ring 0 */
#else
        .quad   0x00cf9b000000ffff              /* code: 32-bit, ring 0, 4 GiB */
#endif
        .quad   0x00cf93000000ffff              /* data: writable, 4 GiB */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .bss
        .balign 4096
#ifdef __x86_64__
page_map:
        .skip   4096
page_directory_pointers:
        .skip   4096
page_directories:
        .skip   4 * 4096
#endif
        .skip   16384
stack_end:
