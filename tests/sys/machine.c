#include "machine.h"

#include "base/util.h"
#include "isa/riscv/isa.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How an instruction ended. */
struct outcome {
    uint64_t cause; /* MMU_OK: it did not trap */
    uint64_t tval;
};

static const struct outcome done = {MMU_OK, 0};

static struct machine *machine_of(const struct hart_sys *sys)
{
    return (struct machine *)((char *)sys - offsetof(struct machine, sys));
}

/* Host address of guest memory, NULL where there is none. */
static void *ram_at(const struct machine *m, uint64_t gpa, unsigned size)
{
    return gpa >= RAM && gpa - RAM <= RAM_SIZE - size ? m->ram + (gpa - RAM) : NULL;
}

/* ---- What the hart asks of its owner ---- */

/* So much that no small comparand is ahead, and not so much that a large one is behind. */
static uint64_t get_time(const struct hart_sys *sys)
{
    return (UINT64_C(1) << 32) + machine_of(sys)->retired;
}

static uint64_t get_retired(const struct hart_sys *sys)
{
    return machine_of(sys)->retired;
}

static uint32_t get_fcsr(const struct hart_sys *sys)
{
    return machine_of(sys)->fcsr;
}

static void set_fcsr(struct hart_sys *sys, uint32_t fcsr)
{
    machine_of(sys)->fcsr = fcsr;
}

static bool get_entropy(struct hart_sys *sys, uint16_t *bits)
{
    (void)sys;
    *bits = 0x1234;
    return true;
}

static bool load64(struct hart_sys *sys, uint64_t gpa, uint64_t *value)
{
    const void *at = ram_at(machine_of(sys), gpa, 8);
    if (at)
        memcpy(value, at, 8);
    return at;
}

static enum sys_cas cas64(struct hart_sys *sys, uint64_t gpa, uint64_t expected, uint64_t desired)
{
    void *at = ram_at(machine_of(sys), gpa, 8);
    if (!at)
        return SYS_CAS_FAULT;
    if (memcmp(at, &expected, 8) != 0)
        return SYS_CAS_OTHER;
    memcpy(at, &desired, 8);
    return SYS_CAS_DONE;
}

static const struct sys_ops ops = {
    .time = get_time,
    .cycles = get_retired,
    .retired = get_retired,
    .fcsr = get_fcsr,
    .set_fcsr = set_fcsr,
    .entropy = get_entropy,
    .load64 = load64,
    .cas64 = cas64,
};

/* ---- Memory ---- */

static bool device_access(struct machine *m, uint64_t gpa, enum mmu_access access, uint64_t *value)
{
    if (gpa == UART && access == MMU_STORE)
        fputc((int)(*value & 0xff), m->uart);
    else if (gpa == UART + UART_LSR && access == MMU_LOAD)
        *value = UART_READY;
    else if (gpa == EXIT_DEVICE && access == MMU_STORE)
        m->ended = *value == EXIT_PASS;
    else if (gpa == MTIMECMP && access == MMU_STORE)
        sys_set_line(&m->sys, IRQ_MTI, get_time(&m->sys) >= *value);
    else
        return false;
    return true;
}

static struct outcome access_memory(struct machine *m, uint64_t address, unsigned size,
                                    enum mmu_access access, uint64_t *value)
{
    struct mmu_page page;
    uint64_t cause = mmu_access(&m->sys, address, size, access, &page);
    if (cause != MMU_OK)
        return (struct outcome){cause, address};
    void *at = ram_at(m, page.gpa, size);
    if (at && access == MMU_STORE)
        memcpy(at, value, size);
    else if (at)
        memcpy(value, at, size);
    else if (!device_access(m, page.gpa, access, value))
        return (struct outcome){mmu_access_fault(access), address};
    return done;
}

static struct outcome load(struct machine *m, const struct rv_insn *insn, unsigned size, bool is_signed)
{
    uint64_t value = 0;
    struct outcome outcome =
        access_memory(m, m->x[insn->rs1] + (uint64_t)(int64_t)insn->imm, size, MMU_LOAD, &value);
    unsigned unused = 64 - 8 * size;
    if (outcome.cause == MMU_OK)
        m->x[insn->rd] = is_signed ? (uint64_t)((int64_t)(value << unused) >> unused) : value;
    return outcome;
}

static struct outcome store(struct machine *m, const struct rv_insn *insn, unsigned size)
{
    uint64_t value = m->x[insn->rs2];
    return access_memory(m, m->x[insn->rs1] + (uint64_t)(int64_t)insn->imm, size, MMU_STORE, &value);
}

static struct outcome swap(struct machine *m, const struct rv_insn *insn)
{
    uint64_t address = m->x[insn->rs1], new = m->x[insn->rs2], old = 0;
    struct mmu_page page;
    uint64_t cause = mmu_access(&m->sys, address, 8, MMU_STORE, &page);
    uint64_t *at = cause == MMU_OK ? ram_at(m, page.gpa, 8) : NULL;
    if (!at)
        return (struct outcome){cause == MMU_OK ? CAUSE_STORE_ACCESS : cause, address};
    memcpy(&old, at, 8);
    memcpy(at, &new, 8);
    m->x[insn->rd] = old;
    return done;
}

/* ---- Instructions ---- */

static struct outcome illegal(const struct rv_insn *insn)
{
    return (struct outcome){CAUSE_ILLEGAL, insn->word};
}

static struct outcome legal_if(bool legal, const struct rv_insn *insn)
{
    return legal ? done : illegal(insn);
}

static struct outcome csr(struct machine *m, const struct rv_insn *insn, enum sys_csr_op op, bool immediate)
{
    uint64_t operand = immediate ? insn->rs1 : m->x[insn->rs1], old;
    if (op != SYS_CSR_WRITE && insn->rs1 == 0)
        op = SYS_CSR_READ;
    if (sys_csr(&m->sys, (unsigned)insn->imm, op, operand, &old) & SYS_ILLEGAL)
        return illegal(insn);
    m->x[insn->rd] = old;
    return done;
}

/* The privileged ones. */
static struct outcome execute_system(struct machine *m, const struct rv_insn *insn, uint64_t *next)
{
    const struct hart_sys *sys = &m->sys;
    bool has_blocks = sys->config.features & SYS_ZICBOM;
    switch (insn->op) {
    case RV_CSRRW: return csr(m, insn, SYS_CSR_WRITE, false);
    case RV_CSRRS: return csr(m, insn, SYS_CSR_SET, false);
    case RV_CSRRC: return csr(m, insn, SYS_CSR_CLEAR, false);
    case RV_CSRRWI: return csr(m, insn, SYS_CSR_WRITE, true);
    case RV_CSRRSI: return csr(m, insn, SYS_CSR_SET, true);
    case RV_CSRRCI: return csr(m, insn, SYS_CSR_CLEAR, true);
    case RV_ECALL: return (struct outcome){sys_ecall_cause(sys), 0};
    case RV_EBREAK: return (struct outcome){CAUSE_BREAKPOINT, m->pc};
    case RV_MRET: return legal_if(sys_mret(&m->sys, next) != SYS_ILLEGAL, insn);
    case RV_SRET: return legal_if(sys_sret(&m->sys, next) != SYS_ILLEGAL, insn);
    case RV_WFI: return legal_if(sys_wfi_legal(sys), insn);
    case RV_SFENCE_VMA:
    case RV_SINVAL_VMA: return legal_if(sys_sfence_legal(sys), insn);
    case RV_SFENCE_W_INVAL:
    case RV_SFENCE_INVAL_IR: return legal_if(sys_sfence_parts_legal(sys), insn);
    case RV_CBO_CLEAN:
    case RV_CBO_FLUSH: return legal_if(has_blocks && sys_cbo_clean_legal(sys), insn);
    case RV_CBO_INVAL: return legal_if(has_blocks && sys_cbo_inval(sys) != SYS_CBO_ILLEGAL, insn);
    default:
        fprintf(stderr, "no such instruction here: %s at 0x%" PRIx64 "\n", rv_op_name(insn->op), m->pc);
        m->failed = true;
        return illegal(insn);
    }
}

static struct outcome branch_if(bool taken, const struct machine *m, const struct rv_insn *insn,
                                uint64_t *next)
{
    if (taken)
        *next = m->pc + (uint64_t)(int64_t)insn->imm;
    return done;
}

static struct outcome compute(struct machine *m, const struct rv_insn *insn, uint64_t value)
{
    m->x[insn->rd] = value;
    return done;
}

static struct outcome jump(struct machine *m, const struct rv_insn *insn, uint64_t target, uint64_t *next)
{
    m->x[insn->rd] = *next;
    *next = target & ~UINT64_C(1);
    return done;
}

static struct outcome execute(struct machine *m, const struct rv_insn *insn, uint64_t *next)
{
    uint64_t a = m->x[insn->rs1], b = m->x[insn->rs2], imm = (uint64_t)(int64_t)insn->imm;
    switch (insn->op) {
    case RV_INVALID: return illegal(insn);
    case RV_LUI: return compute(m, insn, imm);
    case RV_AUIPC: return compute(m, insn, m->pc + imm);
    case RV_ADDI: return compute(m, insn, a + imm);
    case RV_ADDIW: return compute(m, insn, (uint64_t)(int64_t)(int32_t)(a + imm));
    case RV_XORI: return compute(m, insn, a ^ imm);
    case RV_ANDI: return compute(m, insn, a & imm);
    case RV_SLLI: return compute(m, insn, a << imm);
    case RV_SRLI: return compute(m, insn, a >> imm);
    case RV_ADD: return compute(m, insn, a + b);
    case RV_SUB: return compute(m, insn, a - b);
    case RV_AND: return compute(m, insn, a & b);
    case RV_OR: return compute(m, insn, a | b);
    case RV_BEQ: return branch_if(a == b, m, insn, next);
    case RV_BNE: return branch_if(a != b, m, insn, next);
    case RV_JAL: return jump(m, insn, m->pc + imm, next);
    case RV_JALR: return jump(m, insn, a + imm, next);
    case RV_LBU: return load(m, insn, 1, false);
    case RV_LH: return load(m, insn, 2, true);
    case RV_LW: return load(m, insn, 4, true);
    case RV_LD: return load(m, insn, 8, true);
    case RV_SB: return store(m, insn, 1);
    case RV_SH: return store(m, insn, 2);
    case RV_SW: return store(m, insn, 4);
    case RV_SD: return store(m, insn, 8);
    case RV_AMOSWAP_D: return swap(m, insn);
    case RV_FENCE:
    case RV_FENCE_I: return done;
    default: return execute_system(m, insn, next);
    }
}

/* In halves: each may fail for itself. */
static struct outcome fetch(struct machine *m, struct rv_insn *insn)
{
    uint64_t low = 0, high = 0;
    struct outcome outcome = access_memory(m, m->pc, 2, MMU_FETCH, &low);
    if (outcome.cause == MMU_OK && (low & 3) == 3)
        outcome = access_memory(m, m->pc + 2, 2, MMU_FETCH, &high);
    if (outcome.cause == MMU_OK)
        rv_decode((uint32_t)(high << 16 | low), insn);
    return outcome;
}

static void step(struct machine *m)
{
    struct rv_insn insn;
    uint64_t interrupt = sys_interrupt(&m->sys);
    if (interrupt) {
        m->pc = sys_trap(&m->sys, interrupt, 0, m->pc);
        return;
    }
    struct outcome outcome = fetch(m, &insn);
    uint64_t next = m->pc + (outcome.cause == MMU_OK ? insn.length : 0);
    if (outcome.cause == MMU_OK)
        outcome = execute(m, &insn, &next);
    m->x[0] = 0;
    if (outcome.cause == MMU_OK)
        m->retired++;
    else
        next = sys_trap(&m->sys, outcome.cause, outcome.tval, m->pc);
    m->pc = next;
}

int machine_init(struct machine *m, const struct sys_config *config, FILE *uart)
{
    memset(m, 0, sizeof(*m));
    m->uart = uart;
    m->pc = RAM;
    m->ram = calloc(1, RAM_SIZE);
    sys_init(&m->sys, &ops, config);
    return m->ram ? 0 : -1;
}

void machine_release(struct machine *m)
{
    free(m->ram);
}

int machine_run(struct machine *m, uint64_t limit)
{
    while (!m->ended && !m->failed && limit--)
        step(m);
    return m->ended ? 0 : -1;
}
