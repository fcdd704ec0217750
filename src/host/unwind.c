#include "host/unwind.h"

#include "host/sanitize.h"

#include <ucontext.h>

__asm__(".pushsection .text\n"
        ".globl host_unwind_mark\n"
        ".type host_unwind_mark, @function\n"
        "host_unwind_mark:\n"
        ".cfi_startproc\n"
        "    mov %rbx, 0(%rdi)\n"
        "    mov %rbp, 8(%rdi)\n"
        "    mov %r12, 16(%rdi)\n"
        "    mov %r13, 24(%rdi)\n"
        "    mov %r14, 32(%rdi)\n"
        "    mov %r15, 40(%rdi)\n"
        "    lea 8(%rsp), %rax\n"
        "    mov %rax, 48(%rdi)\n"
        "    mov (%rsp), %rax\n"
        "    mov %rax, 56(%rdi)\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size host_unwind_mark, . - host_unwind_mark\n"
        ".popsection\n");

HOST_NO_TSAN void host_unwind_to(const struct host_unwind *mark, void *ucontext)
{
    greg_t *regs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;
    regs[REG_RBX] = (greg_t)mark->rbx;
    regs[REG_RBP] = (greg_t)mark->rbp;
    regs[REG_R12] = (greg_t)mark->r12;
    regs[REG_R13] = (greg_t)mark->r13;
    regs[REG_R14] = (greg_t)mark->r14;
    regs[REG_R15] = (greg_t)mark->r15;
    regs[REG_RSP] = (greg_t)mark->rsp;
    regs[REG_RIP] = (greg_t)mark->rip;
    regs[REG_RAX] = 1;
    host_sanitize_leave_frames();
}
