/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does KVM boot anything here? The smallest kernel that can tell: entered by PVH in 32-bit mode, it
 * does what every x86-64 kernel does first, page tables and long mode, says so on the first serial
 * port and halts. There are hosts with a /dev/kvm under which firmware runs and this does not.
 *
 * PVH: Xen's docs/misc/pvh.pandoc; QEMU finds the entry in the ELF note below. Paging and modes:
 * Intel SDM volume 3A, 9.8.5 (initializing IA-32e mode).
 */
#include "mark.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

#define COM1 0x3f8
#define COM1_LINE_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20

#define PRESENT_WRITABLE 0x3
#define LARGE_PAGE 0x80
#define CR4_PAE (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define CR0_PE_PG 0x80000001
#define CODE64_SELECTOR 8

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	/* The first 2 MiB, where all of this is, onto themselves. */
	movl $(directory + PRESENT_WRITABLE), pointers
	movl $(pointers + PRESENT_WRITABLE), level4
	movl $(PRESENT_WRITABLE | LARGE_PAGE), directory
	movl $level4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl %cr0, %eax
	orl $CR0_PE_PG, %eax
	movl %eax, %cr0
	lgdt descriptors
	ljmp $CODE64_SELECTOR, $speak

	.code64
speak:
	mov $mark, %esi
next:
	lodsb
	test %al, %al
	jz done
	mov %al, %bl
wait:
	mov $COM1_LINE_STATUS, %dx
	in %dx, %al
	test $TRANSMITTER_EMPTY, %al
	jz wait
	mov $COM1, %dx
	mov %bl, %al
	out %al, %dx
	jmp next
done:
	cli
	hlt
	jmp done

mark:	.asciz PROBE_MARK
	.balign 8
table:	.quad 0
	.quad 0x00af9a000000ffff /* 64-bit code, ring 0 */
descriptors:
	.word descriptors - table - 1
	.long table

	.bss
	.balign 4096
level4: .skip 4096
pointers: .skip 4096
directory: .skip 4096
