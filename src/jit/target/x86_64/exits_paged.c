/* Ways out of units of paged code. The guest's address of where an exit leads is known when it is gone: it is more than the unit's by the
 * bias, which is found with the address that is gone to, in a jump cache. A call keeps the caller's on the return stack.
 *
 *   in the page     a link, as in flat code
 *   elsewhere       rax = pc + bias; entry = far[rax]; bias = entry->bias; to entry->entry
 *   call            push bias; ...; at the return: pop rcx; return address = pc + rcx? bias = rcx
 */
#include "jit/target/x86_64/emit.h"

enum { PAGE_SHIFT = 12, ENTRY_SHIFT = 5, SHIFT_SHL = 4 };
_Static_assert(sizeof(struct jit_far) == 1 << ENTRY_SHIFT, "the jump cache is indexed by shifting");

/* Of the index: all bits of an address but the lowest. */
static const int32_t index_mask = (int32_t)((JIT_FAR_COUNT - 1) << ENTRY_SHIFT);

static struct x86_mem bias(const struct jit_assembler *as)
{
    return X86_STATE(as->machine->bias);
}

static struct x86_mem table(const struct jit_assembler *as)
{
    return X86_STATE(x86_state_offset(as, offsetof(struct jit_state, far)));
}

static struct x86_mem member(size_t offset)
{
    return (struct x86_mem){.base = RCX, .index = -1, .disp = (int32_t)offset};
}

bool x86_is_far(const struct jit_assembler *as, uint64_t pc)
{
    return x86_is_paged(as) && (pc ^ as->ir->pc) >> PAGE_SHIFT;
}

void x86_far_address(struct jit_assembler *as, uint64_t pc)
{
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, RAX, bias(as));
    x86_mov_imm(as, RAX, (int64_t)pc);
}

void x86_emit_far_lookup(struct jit_assembler *as, bool call, const uint8_t *miss)
{
    x86_rm(as, X86(0, 0, 0xff), call ? 2 : 4, member(offsetof(struct jit_far, entry)));
    x86_rm(as, X86_MOV_STORE | X86_W, RDX, bias(as));
    x86_rm(as, X86_MOV | X86_W, RDX, member(offsetof(struct jit_far, bias)));
    x86_jcc(as, X86_NE, miss);
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, member(offsetof(struct jit_far, pc)));
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, RCX, table(as));
    x86_rri(as, X86(0, 0, 0x81), ALU_AND, RCX, index_mask, 4);
    x86_rri(as, X86(0, 0, 0xc1), SHIFT_SHL, RCX, ENTRY_SHIFT - 1, 1);
    x86_rr(as, X86_MOV, RCX, RAX);
}

/* The same forwards. */
const uint8_t *x86_make_far_lookup(struct jit_assembler *as, const uint8_t *miss)
{
    const uint8_t *at = jit_here(as);
    x86_rr(as, X86_MOV, RCX, RAX);
    x86_rri(as, X86(0, 0, 0xc1), SHIFT_SHL, RCX, ENTRY_SHIFT - 1, 1);
    x86_rri(as, X86(0, 0, 0x81), ALU_AND, RCX, index_mask, 4);
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, RCX, table(as));
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, member(offsetof(struct jit_far, pc)));
    x86_jcc(as, X86_NE, miss);
    x86_rm(as, X86_MOV | X86_W, RDX, member(offsetof(struct jit_far, bias)));
    x86_rm(as, X86_MOV_STORE | X86_W, RDX, bias(as));
    x86_rm(as, X86(0, 0, 0xff), 4, member(offsetof(struct jit_far, entry)));
    return at;
}

void x86_emit_far(struct jit_assembler *as, uint64_t pc)
{
    if (as->modes.no_chain)
        x86_jmp(as, as->thunks->lookup);
    else
        x86_emit_far_lookup(as, false, as->thunks->lookup);
    x86_far_address(as, pc);
}

void x86_far_forwards(struct jit_assembler *as, uint64_t pc)
{
    x86_mov_imm(as, RAX, (int64_t)pc);
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, RAX, bias(as));
    x86_jmp(as, as->modes.no_chain ? as->thunks->lookup : as->thunks->indirect);
}

void x86_push_bias(struct jit_assembler *as)
{
    x86_rm(as, X86(0, 0, 0xff), 6, bias(as));
}

void x86_compare_paged_return(struct jit_assembler *as, const struct ir_exit *exit, const uint8_t *missed)
{
    unsigned reg = as->slot_pin[exit->check];
    x86_rm(as, X86_MOV_STORE | X86_W, RCX, bias(as));
    x86_jcc(as, X86_NE, missed);
    if (reg == JIT_NO_REG)
        x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, X86_STATE(as->machine->ir.slots[exit->check].offset));
    else
        x86_rr(as, X86_ALU(ALU_CMP) | X86_W, RAX, reg);
    x86_rr(as, X86_ALU(ALU_ADD) | X86_W, RAX, RCX);
    x86_mov_imm(as, RAX, (int64_t)exit->return_pc);
    x86_bytes(as, "\x59", 1); /* pop rcx */
}
