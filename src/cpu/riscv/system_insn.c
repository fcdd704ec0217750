/* Privileged and CSR instructions that translated code has come to, executed at once: what the interpreter does for them,
 * without its cells. Whatever ends in an exception of the instruction's own is left to it. */
#include "cpu/riscv/system_internal.h"

#include "base/util.h"
#include "host/sanitize.h"

#include <string.h>

enum { OPCODE = 0x7f, SYSTEM_OPCODE = 0x73, LENGTH = 4 };

static unsigned rd_of(uint32_t word)
{
    return word >> 7 & 31;
}

static unsigned rs1_of(uint32_t word)
{
    return word >> 15 & 31;
}

static unsigned rs2_of(uint32_t word)
{
    return word >> 20 & 31;
}

/* The instruction has retired; what it does has not been looked at yet. */
static enum system_done retire(struct system_hart *h)
{
    h->hart.instret++;
    h->hart.pc += LENGTH;
    return SYSTEM_DONE;
}

/* "Zicsr": funct3 is 1 to 3 for CSRRW, CSRRS, CSRRC, and 4 more with an immediate in the place of rs1. */
static enum system_done csr(struct system_hart *h, uint32_t word)
{
    static const enum sys_csr_op ops[] = {[1] = SYS_CSR_WRITE, [2] = SYS_CSR_SET, [3] = SYS_CSR_CLEAR};
    unsigned function = word >> 12 & 7, rd = rd_of(word), rs1 = rs1_of(word);
    enum sys_csr_op op = ops[function & 3];
    uint64_t old, operand = function & 4 ? rs1 : h->hart.x[rs1];
    if (op != SYS_CSR_WRITE && !rs1)
        op = SYS_CSR_READ;
    unsigned effects = system_csr(h, word >> 20, op, operand, 0, &old);
    if (unlikely(effects & SYS_ILLEGAL))
        return SYSTEM_NOT_DONE;
    h->hart.x[rd ? rd : HART_X_SINK] = old;
    retire(h);
    if (effects)
        system_effects(h, effects);
    return SYSTEM_DONE;
}

static enum system_done trap_return(struct system_hart *h,
                                    unsigned (*function)(struct hart_sys *, uint64_t *))
{
    uint64_t pc;
    unsigned effects = function(&h->sys, &pc);
    if (unlikely(effects & SYS_ILLEGAL))
        return SYSTEM_NOT_DONE;
    retire(h);
    h->hart.reserve_address = HART_NO_RESERVE;
    system_effects(h, effects);
    h->hart.pc = pc;
    return SYSTEM_DONE;
}

static enum system_done ecall(struct system_hart *h)
{
    if (h->system->config.firmware && h->sys.mode == PRIV_S) {
        h->hart.exit.kind = EXIT_ECALL;
        return SYSTEM_LEFT;
    }
    h->trap = (struct system_trap){sys_ecall_cause(&h->sys), 0};
    h->hart.pc = system_take_trap(h);
    return SYSTEM_DONE;
}

static enum system_done wait(struct system_hart *h)
{
    if (!sys_wfi_legal(&h->sys))
        return SYSTEM_NOT_DONE;
    if (sys_poll(&h->sys))
        system_look(h);
    retire(h);
    if (sys_wakes(&h->sys))
        return SYSTEM_DONE;
    h->hart.exit.kind = EXIT_WFI;
    return SYSTEM_LEFT;
}

static enum system_done fence_memory(struct system_hart *h, uint32_t word)
{
    unsigned rs1 = rs1_of(word), rs2 = rs2_of(word);
    if (!sys_sfence_legal(&h->sys))
        return SYSTEM_NOT_DONE;
    system_sfence(h, (rs1 ? TLB_FENCE_ADDRESS : 0) | (rs2 ? TLB_FENCE_ASID : 0), h->hart.x[rs1],
                  h->hart.x[rs2]);
    return retire(h);
}

static enum system_done privileged(struct system_hart *h, uint32_t word)
{
    enum { ECALL = 0x00000073, SRET = 0x10200073, WFI = 0x10500073, MRET = 0x30200073 };
    enum { SFENCE_VMA = 0x12000073, REGISTERS = 0x1ff << 15 };
    switch (word) {
    case ECALL: return ecall(h);
    case SRET: return trap_return(h, sys_sret);
    case MRET: return trap_return(h, sys_mret);
    case WFI: return wait(h);
    default: break;
    }
    return (word & ~(uint32_t)REGISTERS) == SFENCE_VMA ? fence_memory(h, word) : SYSTEM_NOT_DONE;
}

static enum system_done by_function(struct system_hart *h, uint32_t word)
{
    switch (word >> 12 & 7) {
    case 0: return privileged(h, word);
    case 4: return SYSTEM_NOT_DONE;
    default: return csr(h, word);
    }
}

static enum system_done fence_code(struct system_hart *h)
{
    system_fence_i(h);
    return retire(h);
}

HOST_GUEST_ACCESS static uint32_t read_word(const uint8_t *at)
{
    uint16_t low = *(const volatile uint16_t *)at, high = *(const volatile uint16_t *)(at + sizeof(low));
    return (uint32_t)high << 16 | low;
}

enum system_done system_execute(struct system_hart *h)
{
    enum { FENCE_I = 0x100f, FENCE_I_FIELDS = 0x707f };
    uint64_t offset = h->hart.pc & ~TLB_PAGE_MASK;
    const struct tlb_code *page = tlb_find_code(&h->tlb, h->hart.pc);
    if (unlikely(!page || offset > SYSTEM_PAGE - LENGTH))
        return SYSTEM_NOT_DONE;
    uint32_t word = read_word((const uint8_t *)page->host + offset);
    if ((word & OPCODE) == SYSTEM_OPCODE)
        return by_function(h, word);
    return (word & FENCE_I_FIELDS) == FENCE_I ? fence_code(h) : SYSTEM_NOT_DONE;
}
