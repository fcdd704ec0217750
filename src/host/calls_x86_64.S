/* Entries that must be exact to the instruction: signal handlers compare the interrupted pc with their labels.
 * Source: x86-64 psABI, appendix A.2.1 (Linux conventions). */

#include "host/entry.h"

        .text

/* long host_syscall(number, a, b, c, d, e, f) */
        .globl  host_syscall, host_syscall_returned
        .hidden host_syscall, host_syscall_returned
        .type   host_syscall, @function
        .balign 16
host_syscall:
        .cfi_startproc
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        movq    8(%rsp), %r9
        syscall
host_syscall_returned:
        ret
        .cfi_endproc
        .size   host_syscall, . - host_syscall

/* long host_syscall_interruptible(pending, number, a, b, c, d, e, f)
 * A signal that arrives from `host_syscall_look` up to the syscall instruction finds that nothing was begun. */
        .globl  host_syscall_interruptible, host_syscall_look, host_syscall_entered, host_syscall_not_begun
        .hidden host_syscall_interruptible, host_syscall_look, host_syscall_entered, host_syscall_not_begun
        .type   host_syscall_interruptible, @function
        .balign 16
host_syscall_interruptible:
        .cfi_startproc
        movq    %rdi, %r11
        movq    %rsi, %rax
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        movq    %r9, %r10
        movq    8(%rsp), %r8
        movq    16(%rsp), %r9
host_syscall_look:
        cmpl    $0, (%r11)
        jne     host_syscall_not_begun
        syscall
host_syscall_entered:
        ret
host_syscall_not_begun:
        movq    $-HOST_ERESTART, %rax
        ret
        .cfi_endproc
        .size   host_syscall_interruptible, . - host_syscall_interruptible

/* Where the kernel sends a signal handler that returns. */
        .globl  host_signal_restorer
        .hidden host_signal_restorer
        .type   host_signal_restorer, @function
        .balign 16
        nop     /* unwinders look one byte before the return address */
host_signal_restorer:
        movl    $HOST_NR_RT_SIGRETURN, %eax
        syscall
        .size   host_signal_restorer, . - host_signal_restorer

/* int host_exchange32(at, expected, desired, seen): 0 or -EFAULT. */
        .globl  host_exchange32, host_exchange_access, host_exchange_failed
        .hidden host_exchange32, host_exchange_access, host_exchange_failed
        .type   host_exchange32, @function
        .balign 16
host_exchange32:
        .cfi_startproc
        movl    %esi, %eax
host_exchange_access:
        lock cmpxchgl %edx, (%rdi)
        movl    %eax, (%rcx)
        xorl    %eax, %eax
        ret
host_exchange_failed:
        movl    $-HOST_EFAULT, %eax
        ret
        .cfi_endproc
        .size   host_exchange32, . - host_exchange32

        .section .note.GNU-stack, "", @progbits
