/* The copies are assembly so that every instruction that touches memory has a known address and the registers say at
 * each one how far the copy is. A fault where words are moved goes on byte by byte, up to the byte that really is out
 * of reach; a fault where bytes are moved ends the copy. Source: x86-64 psABI; Intel SDM volume 2, REP MOVS. */
#include "host/copy.h"

#include "host/sanitize.h"

#include <stdint.h>
#include <ucontext.h>

/* rdi: to, rsi: from, rdx: size; r8 the end of `from`, rcx what is left. Above 256 bytes the processor's own copy is
 * the fastest. */
__asm__(".pushsection .text\n"
        ".p2align 4\n"
        ".globl host_copy\n"
        ".type host_copy, @function\n"
        "host_copy:\n"
        "   .cfi_startproc\n"
        "   mov %rdx, %rcx\n"
        "   lea (%rsi, %rdx), %r8\n"
        "   cmp $256, %rcx\n"
        "   ja 5f\n"
        "   sub $16, %rcx\n"
        "   jb 2f\n"
        "guise_copy_words:\n"
        "1: movups (%rsi), %xmm0\n"
        "   movups %xmm0, (%rdi)\n"
        "   add $16, %rsi\n"
        "   add $16, %rdi\n"
        "   sub $16, %rcx\n"
        "   jae 1b\n"
        "2: test $8, %cl\n"
        "   jz 3f\n"
        "   mov (%rsi), %rax\n"
        "   mov %rax, (%rdi)\n"
        "   add $8, %rsi\n"
        "   add $8, %rdi\n"
        "3: test $4, %cl\n"
        "   jz guise_copy_rest\n"
        "   mov (%rsi), %eax\n"
        "   mov %eax, (%rdi)\n"
        "   add $4, %rsi\n"
        "   add $4, %rdi\n"
        "guise_copy_rest:\n"
        "   mov %r8, %rcx\n"
        "   sub %rsi, %rcx\n"
        "   jz 6f\n"
        "guise_copy_bytes:\n"
        "4: movb (%rsi), %al\n"
        "   movb %al, (%rdi)\n"
        "   inc %rsi\n"
        "   inc %rdi\n"
        "   dec %rcx\n"
        "   jnz 4b\n"
        "   jmp 6f\n"
        "5: rep movsb\n"
        "6:\n"
        "guise_copy_end:\n"
        "   mov %rcx, %rax\n"
        "   ret\n"
        "   .cfi_endproc\n"
        ".size host_copy, . - host_copy\n"

        /* rdi: to, rsi: from, rdx: size; rax counts. */
        ".p2align 4\n"
        ".globl host_copy_string\n"
        ".type host_copy_string, @function\n"
        "host_copy_string:\n"
        "   .cfi_startproc\n"
        "   xor %eax, %eax\n"
        "   test %rdx, %rdx\n"
        "   jz 2f\n"
        "guise_string_bytes:\n"
        "1: movb (%rsi, %rax), %cl\n"
        "   movb %cl, (%rdi, %rax)\n"
        "   test %cl, %cl\n"
        "   jz 2f\n"
        "   inc %rax\n"
        "   cmp %rdx, %rax\n"
        "   jne 1b\n"
        "2: ret\n"
        "guise_string_fault:\n"
        "   mov $-1, %rax\n"
        "   ret\n"
        "   .cfi_endproc\n"
        ".size host_copy_string, . - host_copy_string\n"
        ".popsection\n");

extern const char guise_copy_words[] __attribute__((visibility("hidden")));
extern const char guise_copy_rest[] __attribute__((visibility("hidden")));
extern const char guise_copy_bytes[] __attribute__((visibility("hidden")));
extern const char guise_copy_end[] __attribute__((visibility("hidden")));
extern const char guise_string_bytes[] __attribute__((visibility("hidden")));
extern const char guise_string_fault[] __attribute__((visibility("hidden")));

HOST_NO_TSAN bool host_copy_fault(void *ucontext)
{
    greg_t *rip = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
    uintptr_t at = (uintptr_t)*rip, to;
    if (at >= (uintptr_t)guise_copy_words && at < (uintptr_t)guise_copy_rest)
        to = (uintptr_t)guise_copy_rest;
    else if (at >= (uintptr_t)guise_copy_bytes && at < (uintptr_t)guise_copy_end)
        to = (uintptr_t)guise_copy_end;
    else if (at >= (uintptr_t)guise_string_bytes && at < (uintptr_t)guise_string_fault)
        to = (uintptr_t)guise_string_fault;
    else
        return false;
    *rip = (greg_t)to;
    return true;
}
