/* The interpreter of a computer's harts.
 *
 *   system_serve ──> run ──> handler ──> handler ──> ...           traps are taken inside
 *        ^            │                     │
 *        └─ pending ──┘      jump to a gva  v
 *                            jump cache ──> system_find ──> fetch TLB ──> unit
 *
 * The rows of interp_rows.inc look into the TLB for each access. */
#define INTERP_BIAS(hart) (hart)->bias

#include "cpu/riscv/interp_common.h"
#include "cpu/riscv/system_internal.h"
#include "cpu/riscv/unit_store.h"

#include <string.h>

static const struct interp_table *run(struct hart *hart, const union cell *c);

const struct interp_table *interp_system_table(void)
{
    return run(NULL, NULL);
}

#define ENTRY(address) const struct tlb_entry *const entry = &h->tlb[tlb_index(address)]

/* Registers are in place before what the compiler does not see. */
#define GUEST_LOAD(mem, guest_address)                                     \
    ({                                                                     \
        const uint64_t address = (guest_address);                          \
        uint64_t loaded;                                                   \
        ENTRY(address);                                                    \
        if (likely(tlb_hits(entry->read, address, sizeof(mem))))           \
            loaded = *(mem *)(address + entry->addend);                    \
        else if (unlikely(!system_load(s, address, sizeof(mem), &loaded))) \
            goto trapped;                                                  \
        loaded;                                                            \
    })

#define GUEST_STORE(mem, guest_address, value)                              \
    do {                                                                    \
        const uint64_t address = (guest_address);                           \
        ENTRY(address);                                                     \
        if (likely(tlb_hits(entry->write, address, sizeof(mem))))           \
            *(mem *)(address + entry->addend) = (value);                    \
        else if (unlikely(!system_store(s, address, sizeof(mem), (value)))) \
            goto trapped;                                                   \
    } while (0)

#define GUEST_ATOMIC(guest_address, size, access)                                       \
    const uint64_t address = (guest_address);                                           \
    uint64_t host;                                                                      \
    ENTRY(address);                                                                     \
    const uint64_t tag = (access) == MMU_LOAD ? entry->read : entry->write;             \
    if (likely(tlb_hits(tag, address, size) && !(address & ((size)-1))))                \
        host = address + entry->addend;                                                 \
    else if (unlikely(!(host = (uint64_t)system_atomic(s, address, (size), (access))))) \
    goto trapped

#define RESERVATION address /* as translated code has it; another context drops it */

#define FP_IS_ON                            \
    if (unlikely(!sys_fp_enabled(&s->sys))) \
    goto illegal
#define FP_CHANGES \
    FP_IS_ON;      \
    sys_fp_dirty(&s->sys)

#define CSR(row, operation, operand)                                                              \
    op_##row:                                                                                     \
    {                                                                                             \
        uint64_t old;                                                                             \
        unsigned effects = system_csr(s, (unsigned)c->imm, (operation), (operand), c->aux, &old); \
        if (unlikely(effects & SYS_ILLEGAL))                                                      \
            goto illegal;                                                                         \
        x[c->rd] = old;                                                                           \
        if (unlikely(effects) && system_effects(s, effects))                                      \
            goto next_anew;                                                                       \
    }                                                                                             \
    NEXT;

/* Of x0 or 0, a set or clear writes nothing. */
#define CSR_IF(operation) (c->rs1 ? (operation) : SYS_CSR_READ)

/* Return from a trap. */
#define RETURN(row, function)                      \
    op_##row:                                      \
    {                                              \
        uint64_t pc;                               \
        s->ahead = c->aux;                         \
        unsigned effects = function(&s->sys, &pc); \
        s->ahead = 0;                              \
        if (effects & SYS_ILLEGAL)                 \
            goto illegal;                          \
        h->instret += c->aux + 1u;                 \
        h->reserve_address = HART_NO_RESERVE;      \
        system_effects(s, effects);                \
        target = pc;                               \
    }                                              \
    goto jump;

#define CACHE_BLOCK(row)                                               \
    op_##row : if (!system_cache_block(s, RV_##row, X1)) goto trapped; \
    NEXT;

/* The word of the instruction that the cell belongs to, which is the trap's value when it is illegal. */
static uint64_t word_at(const union cell *c)
{
    struct cell_info info;
    uint16_t low, high = 0;
    const uint8_t *source = unit_source(code_locate(c, &info)) + info.offset;
    memcpy(&low, source, sizeof(low));
    if ((low & 3) == 3)
        memcpy(&high, source + sizeof(low), sizeof(high));
    return (uint64_t)high << 16 | low;
}

/* SFENCE.VMA and SINVAL.VMA. */
static bool fence_memory(struct system_hart *s, const union cell *c)
{
    const uint64_t *x = s->hart.x;
    unsigned what = (c->rs1 ? TLB_FENCE_ADDRESS : 0) | (c->rs2 ? TLB_FENCE_ASID : 0);
    return system_sfence(s, what, x[c->rs1], x[c->rs2]);
}

/* Runs from the cell or, without one, from the hart's pc until an exit, which it leaves in the hart. With a NULL hart
 * it only tells where its handlers are. */
__attribute__((noinline)) HOST_GUEST_ACCESS static const struct interp_table *run(struct hart *h,
                                                                                  const union cell *c)
{
#define RV_X(row, name, ext) [RV_##row] = &&op_##row,
    static const struct interp_table table = {
        .handlers = {[RV_INVALID] = &&illegal,
                     RV_ROWS(RV_X)[CELL_LI] = &&cell_li,
                     [CELL_LI64] = &&cell_li64,
                     [CELL_NEXT] = &&cell_next,
                     [CELL_DEAD] = &&cell_dead,
                     [CELL_COUNT] = &&cell_count,
                     [CELL_PC] = &&cell_pc},
        .unresolved = {{.handler = &&cell_resolve}},
        .far = {{.handler = &&cell_far}},
    };
#undef RV_X
    if (!h)
        return &table;

    struct system_hart *const s = system_hart_of(h);
    uint64_t *const x = h->x, *const f = h->f;
    union cell *from = NULL; /* the operand cell whose link was followed last */
    uint64_t target = h->pc & ~(uint64_t)1;
    if (!c)
        goto find;
    DISPATCH;

    /* ---- Cells of our own ---- */
cell_li:
    x[c->rd] = IMM;
    NEXT;
cell_li64:
    x[c->rd] = c[1].constant;
    c += 2;
    DISPATCH;
cell_pc:
    x[c->rd] = c[1].constant + h->bias;
    c += 2;
    DISPATCH;
cell_next:
    h->instret += c->aux;
    FOLLOW((union cell *)c + 1);
cell_count:
    if (unlikely(!count_down((union cell *)c))) {
        h->exit.kind = EXIT_NONE;
        h->cell = c;
        h->pc = unit_of(c)->pc + h->bias;
        return NULL;
    }
    NEXT;
cell_dead:
    exit_at(h, c);
    target = h->pc;
    if (!from || __atomic_load_n(&from->link, __ATOMIC_RELAXED) != c)
        goto find;
    /* The link led here: it gets its new end. */
cell_resolve:
    c = code_find(h->code, from->target);
    if (!c) {
        target = from->target + h->bias;
        goto find;
    }
    __atomic_store_n(&from->link, c, __ATOMIC_RELEASE);
    DISPATCH;
cell_far:
    target = from->target + h->bias;
    goto look_up;

    /* ---- Jumps ---- */
op_JALR:
    target = (X1 + IMM) & ~(uint64_t)1;
    x[c->rd] = c[1].constant + h->bias;
    h->instret += c->aux;
jump:
    if (unlikely(host_is_set(h->pending)))
        goto pending_at_target;
look_up : {
    const struct system_jump *slot = system_jump_slot(s, target);
    if (unlikely(slot->pc != target || slot->context != h->context))
        goto find;
    h->bias = slot->bias;
    c = slot->cell;
}
    DISPATCH;
op_FENCE_I:
    h->instret += c->aux;
    system_fence_i(s);
    FOLLOW((union cell *)c + 1);
op_ECALL:
    h->instret += c->aux - 1u;
    h->pc = c[1].constant + h->bias;
    if (s->system->config.firmware && s->sys.mode == PRIV_S) {
        h->exit.kind = EXIT_ECALL;
        return NULL;
    }
    s->trap = (struct system_trap){sys_ecall_cause(&s->sys), 0};
    goto take_trap;
op_EBREAK:
    exit_at(h, c);
    s->trap = (struct system_trap){CAUSE_BREAKPOINT, h->pc};
    goto take_trap;

    /* ---- Privileged ---- */
    RETURN(MRET, sys_mret)
    RETURN(SRET, sys_sret)
op_WFI:
    if (!sys_wfi_legal(&s->sys))
        goto illegal;
    if (sys_poll(&s->sys))
        system_look(s);
    if (!sys_wakes(&s->sys)) {
        exit_at(h, c + 1);
        h->exit.kind = EXIT_WFI;
        return NULL;
    }
    NEXT;
op_SFENCE_VMA:
op_SINVAL_VMA:
    if (!sys_sfence_legal(&s->sys))
        goto illegal;
    if (fence_memory(s, c))
        goto next_anew;
    NEXT;
op_SFENCE_W_INVAL: /* each SINVAL.VMA is a fence by itself */
op_SFENCE_INVAL_IR:
    if (!sys_sfence_parts_legal(&s->sys))
        goto illegal;
    NEXT;

    /* ---- Zicsr ---- */
    CSR(CSRRW, SYS_CSR_WRITE, X1)
    CSR(CSRRS, CSR_IF(SYS_CSR_SET), X1)
    CSR(CSRRC, CSR_IF(SYS_CSR_CLEAR), X1)
    CSR(CSRRWI, SYS_CSR_WRITE, c->rs1)
    CSR(CSRRSI, CSR_IF(SYS_CSR_SET), c->rs1)
    CSR(CSRRCI, CSR_IF(SYS_CSR_CLEAR), c->rs1)

    /* ---- Cache blocks ---- */
    CACHE_BLOCK(CBO_CLEAN)
    CACHE_BLOCK(CBO_FLUSH)
    CACHE_BLOCK(CBO_INVAL)
    CACHE_BLOCK(CBO_ZERO)

#include "cpu/riscv/interp_rows.inc"

    /* ---- Ways out ---- */
find:
    if (unlikely(host_is_set(h->pending)))
        goto pending_at_target;
    c = system_find(s, target);
    from = NULL; /* it may have been an instruction alone, whose cells are used again */
    if (unlikely(!c)) {
        h->pc = target;
        goto take_trap;
    }
    DISPATCH;
next_anew:
    exit_at(h, c + 1);
    target = h->pc;
    goto jump;
illegal:
    s->trap = (struct system_trap){CAUSE_ILLEGAL, word_at(c)};
trapped:
    if (s->trap.cause == CAUSE_ILLEGAL) /* as a cache-block instruction's may be */
        s->trap.value = word_at(c);
    exit_at(h, c);
take_trap:
    target = system_take_trap(s);
    goto jump;
pending:
    target = from->target + h->bias;
pending_at_target:
    h->pc = target;
    h->exit.kind = EXIT_PENDING;
    return NULL;
}

const struct unit *interp_system_go(struct system_hart *h, const union cell *cell)
{
    run(&h->hart, cell);
    const struct unit *unit = h->hart.exit.kind == EXIT_NONE ? unit_of(h->hart.cell) : NULL;
    h->hart.cell = NULL;
    return unit;
}
