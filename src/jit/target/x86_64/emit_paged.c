/* Loads, stores and atomics of paged memory: the page is looked up in line, whatever the table does not say is done by the front
 * end's helper, called from cold code. A span's page is looked up once (HOST), and its accesses are those of flat memory.
 *
 *     entry = pages + (address >> 12) % size      lea, shr, and, add
 *     tag = page of the access's last byte        lea, and: one that crosses pages has another tag
 *     tag != entry->read? cold                    cmp, jne
 *     access [address + entry->addend]            mov, and the access
 *
 * Two registers beyond those of the access; where the result is an integer, its own is one of them. */
#include "jit/target/x86_64/emit.h"

enum { PAGE_SHIFT = 12, PAGE_MASK = -4096, SHIFT_SHR = 5, MAX_ACCESS = 8 };

struct look_up {
    struct x86_mem address;
    unsigned entry, tag; /* registers */
    unsigned size;
    size_t tags; /* offset of the tag in struct jit_page */
};

static struct x86_mem access_at(const struct jit_assembler *as, size_t member)
{
    return X86_STATE(as->machine->state + (int32_t)(offsetof(struct jit_state, access) + member));
}

/* [x + constant] */
static struct x86_mem guest_address(struct jit_assembler *as, ir_ref ref)
{
    struct x86_mem m = {.base = -1, .index = -1};
    if (!ir_is_constant(ref)) {
        const struct ir_ins *ins = ir_at(as->ir, ref);
        if (jit_is_idle(as, ref) && ins->op == IR_ADD && ins->type == IR_I64 && ir_is_constant(ins->b) &&
            x86_fits32(ir_constant_value(as->ir, ins->b) + MAX_ACCESS)) {
            m.disp = (int32_t)ir_constant_value(as->ir, ins->b);
            ref = ins->a;
        }
    } else if (x86_fits32(ir_constant_value(as->ir, ref) + MAX_ACCESS)) {
        m.disp = (int32_t)ir_constant_value(as->ir, ref);
        return m;
    }
    m.base = (int8_t)jit_use(as, ref, JIT_INTEGERS);
    return m;
}

/* reg = m + plus */
static void address_to(struct jit_assembler *as, unsigned reg, struct x86_mem m, unsigned plus)
{
    m.disp += (int32_t)plus;
    if (m.base >= 0 && m.disp == 0)
        x86_rr(as, X86_MOV | X86_W, reg, (unsigned)m.base);
    else
        x86_rm(as, X86_LEA | X86_W, reg, m);
}

static struct x86_mem entry_at(unsigned entry, size_t member)
{
    return (struct x86_mem){.base = (int8_t)entry, .index = -1, .disp = (int32_t)member};
}

/* From an address in `reg` to that of its page's entry. Written backwards. */
static void to_entry(struct jit_assembler *as, unsigned reg)
{
    enum { ENTRY_SHIFT = 5 };
    _Static_assert(sizeof(struct jit_page) == 1 << ENTRY_SHIFT, "an entry is found by shifting");
    int32_t mask = (int32_t)(((1u << as->machine->page_bits) - 1) << ENTRY_SHIFT);
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, reg, X86_STATE(as->machine->pages));
    x86_alu_imm(as, ALU_AND, 0, reg, mask);
    x86_rri(as, X86(0, 0, 0xc1), SHIFT_SHR, reg, PAGE_SHIFT - ENTRY_SHIFT, 1);
}

/* Leaves the entry in its register, or goes to `slow`. */
static void emit_look_up(struct jit_assembler *as, const struct look_up *l, const uint8_t *slow)
{
    x86_jcc(as, X86_NE, slow);
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, l->tag, entry_at(l->entry, l->tags));
    x86_alu_imm(as, ALU_AND, X86_W, l->tag, PAGE_MASK);
    address_to(as, l->tag, l->address, l->size - 1);
    to_entry(as, l->entry);
    address_to(as, l->entry, l->address, 0);
}

/* Where the access finds its page. */
static struct x86_mem host_address(const struct look_up *l)
{
    struct x86_mem m = l->address;
    if (m.base < 0)
        m.base = (int8_t)l->entry;
    else
        m.index = (int8_t)l->entry;
    return m;
}

static void emit_addend(struct jit_assembler *as, const struct look_up *l)
{
    x86_rm(as, X86_MOV | X86_W, l->entry, entry_at(l->entry, offsetof(struct jit_page, addend)));
}

/* ---- The helper ---- */

/* In cold code: does the operation as state.access says, but for its kind. */
static void call_helper(struct jit_assembler *as, const struct ir_ins *ins)
{
    bool write = ins->op == IR_HOST && as->ir->spans[ins->a].writes;
    as->target->store_constant(as, ins->op | (unsigned)ins->type << 8 | (unsigned)write << 16,
                               access_at(as, offsetof(struct jit_access, op)).disp);
    x86_call(as, as->thunks->access);
}

static const uint8_t *begin_slow(struct jit_assembler *as, const struct look_up *l)
{
    const uint8_t *at = x86_cold_begin(as);
    address_to(as, l->tag, l->address, 0);
    x86_rm(as, X86_MOV_STORE | X86_W, l->tag, access_at(as, offsetof(struct jit_access, address)));
    return at;
}

static void end_slow(struct jit_assembler *as, const uint8_t *back)
{
    x86_jmp(as, back);
    x86_cold_end(as);
}

/* ---- Loads and stores ---- */

static void choose_registers(struct jit_assembler *as, const struct ir_ins *ins, struct look_up *l)
{
    l->size = ir_access_size(ins->op, ins->type);
    l->entry = jit_temp(as, JIT_INTEGERS);
    l->tag = jit_temp(as, JIT_INTEGERS);
}

static const uint8_t *slow_load(struct jit_assembler *as, const struct ir_ins *ins, const struct look_up *l,
                                unsigned r, const uint8_t *back)
{
    const uint8_t *at = begin_slow(as, l);
    call_helper(as, ins);
    as->target->load(as, r, access_at(as, offsetof(struct jit_access, value)).disp);
    end_slow(as, back);
    return at;
}

/* The result's register is free before the access, unless the address or what a fault needs is there. */
static void choose_load_registers(struct jit_assembler *as, const struct ir_ins *ins, unsigned r,
                                  struct look_up *l)
{
    l->address = guest_address(as, ins->a);
    l->tags = offsetof(struct jit_page, read);
    if (r >= JIT_FP || as->held[r] || l->address.base == (int)r) {
        choose_registers(as, ins, l);
        return;
    }
    as->busy |= JIT_REG(r);
    l->size = ir_access_size(ins->op, ins->type);
    l->entry = r;
    l->tag = jit_temp(as, JIT_INTEGERS);
}

static void emit_load(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    struct look_up l;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    jit_settle_fault(as);
    choose_load_registers(as, ins, r, &l);
    const uint8_t *slow = slow_load(as, ins, &l, r, jit_here(as));
    x86_rm(as, x86_load_opcode(ins->op), r, host_address(&l));
    emit_addend(as, &l);
    emit_look_up(as, &l, slow);
    jit_done(as);
}

static void emit_load_fp(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    struct look_up l;
    unsigned r = jit_def(as, ref, JIT_FPS);
    jit_settle_fault(as);
    choose_load_registers(as, ins, r, &l);
    const uint8_t *slow = slow_load(as, ins, &l, r, jit_here(as));
    x86_sse_m(as, x86_move_fp(ins->type, false), r, 0, host_address(&l));
    emit_addend(as, &l);
    emit_look_up(as, &l, slow);
    jit_done(as);
}

/* `rv`: the value's register, or JIT_NO_REG for a constant. */
static const uint8_t *slow_store(struct jit_assembler *as, const struct ir_ins *ins, const struct look_up *l,
                                 unsigned rv, const uint8_t *back)
{
    const uint8_t *at = begin_slow(as, l);
    int32_t value = access_at(as, offsetof(struct jit_access, value)).disp;
    if (rv == JIT_NO_REG)
        as->target->store_constant(as, ir_constant_value(as->ir, ins->b), value);
    else
        as->target->store(as, rv, value);
    call_helper(as, ins);
    end_slow(as, back);
    return at;
}

static void choose_store_registers(struct jit_assembler *as, const struct ir_ins *ins, struct look_up *l)
{
    l->address = guest_address(as, ins->a);
    l->tags = offsetof(struct jit_page, write);
    choose_registers(as, ins, l);
}

static void emit_store(struct jit_assembler *as, const struct ir_ins *ins)
{
    struct look_up l;
    int32_t imm;
    jit_settle_fault(as);
    bool is_imm = x86_store_immediate(as, ins, &imm);
    unsigned rv = is_imm ? JIT_NO_REG : jit_use(as, x86_stored(as, ins), JIT_INTEGERS);
    choose_store_registers(as, ins, &l);
    const uint8_t *slow = slow_store(as, ins, &l, rv, jit_here(as));
    if (is_imm)
        x86_store_imm(as, ins->op, host_address(&l), imm);
    else
        x86_store_reg(as, ins->op, host_address(&l), rv);
    emit_addend(as, &l);
    emit_look_up(as, &l, slow);
    jit_done(as);
}

static void emit_store_fp(struct jit_assembler *as, const struct ir_ins *ins)
{
    struct look_up l;
    jit_settle_fault(as);
    unsigned rv = jit_use(as, jit_unboxed(as, ins->b, ins->type), JIT_FPS);
    choose_store_registers(as, ins, &l);
    const uint8_t *slow = slow_store(as, ins, &l, rv, jit_here(as));
    x86_sse_m(as, x86_move_fp(ins->type, true), rv, 0, host_address(&l));
    emit_addend(as, &l);
    emit_look_up(as, &l, slow);
    jit_done(as);
}

static const uint8_t *slow_zero(struct jit_assembler *as, const struct ir_ins *ins, const struct look_up *l,
                                const uint8_t *back)
{
    const uint8_t *at = begin_slow(as, l);
    call_helper(as, ins);
    end_slow(as, back);
    return at;
}

static void emit_zero(struct jit_assembler *as, const struct ir_ins *ins)
{
    struct look_up l;
    jit_settle_fault(as);
    choose_store_registers(as, ins, &l);
    unsigned zero = jit_temp(as, JIT_FPS);
    const uint8_t *slow = slow_zero(as, ins, &l, jit_here(as));
    x86_emit_zero(as, host_address(&l), zero);
    emit_addend(as, &l);
    emit_look_up(as, &l, slow);
    jit_done(as);
}

/* ---- Spans ---- */

/* The bytes of the span. */
static struct look_up span_look_up(struct jit_assembler *as, const struct ir_ins *ins,
                                   const struct ir_span *span)
{
    struct look_up l = {.address = guest_address(as, ins->b),
                        .size = (unsigned)(span->high - span->low),
                        .tags = span->writes ? offsetof(struct jit_page, write)
                                             : offsetof(struct jit_page, read)};
    return l;
}

static void emit_refusal_test(struct jit_assembler *as, enum x86_condition refused, const uint8_t *stub,
                              unsigned reg, int32_t limit)
{
    x86_alu_imm(as, ALU_CMP, X86_W, reg, limit);
    x86_jcc(as, refused, stub);
}

/* The entry is not right: of a span that crosses pages nobody need be asked. */
static const uint8_t *slow_span(struct jit_assembler *as, const struct ir_ins *ins, const struct look_up *l,
                                const uint8_t *refused, const uint8_t *back)
{
    const uint8_t *at = x86_cold_begin(as);
    address_to(as, l->entry, l->address, 0);
    x86_rr(as, X86_ALU(ALU_XOR) | X86_W, l->tag, l->entry);
    emit_refusal_test(as, X86_A, refused, l->tag, ~PAGE_MASK);
    x86_rm(as, X86_MOV_STORE | X86_W, l->entry, access_at(as, offsetof(struct jit_access, address)));
    as->target->store_constant(as, l->size, access_at(as, offsetof(struct jit_access, value)).disp);
    call_helper(as, ins);
    as->target->load(as, l->entry, access_at(as, offsetof(struct jit_access, value)).disp);
    emit_refusal_test(as, X86_E, refused, l->entry, JIT_PAGE_NONE);
    end_slow(as, back);
    return at;
}

/* result = operand + addend. The result's register is free before that, unless the operand or what the way out needs is there. */
static void emit_host(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const struct ir_span *span = &as->ir->spans[ins->a];
    const struct ir_exit exit = {.kind = IR_EXIT_GO, .pc = span->pc};
    struct jit_steps steps;
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    jit_settle(as, ~UINT64_C(0)); /* of a way that is rarely taken */
    struct look_up l = span_look_up(as, ins, span);
    bool shared = as->held[r] || l.address.base == (int)r;
    as->busy |= JIT_REG(r);
    l.entry = shared ? jit_temp(as, JIT_INTEGERS) : r;
    l.tag = jit_temp(as, JIT_INTEGERS);
    jit_way_home(as, 0, 0, &steps);
    x86_rm(as, X86_LEA | X86_W, r, host_address(&l));
    const uint8_t *found = jit_here(as), *refused = x86_side_stub(as, &steps, &exit);
    emit_addend(as, &l);
    l.address.disp += span->low;
    emit_look_up(as, &l, slow_span(as, ins, &l, refused, found));
    jit_done(as);
}

/* ---- Atomics ---- */

/* Atomics have no register to spare: the guest's address is passed in memory, and rax is borrowed. */
void x86_emit_paged_address(struct jit_assembler *as, const struct ir_ins *ins, unsigned at)
{
    struct x86_mem address = access_at(as, offsetof(struct jit_access, address));
    struct x86_mem value = access_at(as, offsetof(struct jit_access, value));
    const uint8_t *back = jit_here(as), *slow = x86_cold_begin(as);
    x86_rm(as, X86_MOV | X86_W, at, address); /* whose register it may be, for jit_recover() */
    call_helper(as, ins);
    x86_rm(as, X86_MOV | X86_W, at, value);
    end_slow(as, back);
    x86_rm(as, X86_ALU(ALU_ADD) | X86_W, at, address);
    x86_rm(as, X86_MOV | X86_W, at, entry_at(at, offsetof(struct jit_page, addend)));
    x86_jcc(as, X86_NE, slow);
    x86_rm(as, X86_MOV | X86_W, RAX, value);
    x86_rm(as, X86_ALU(ALU_CMP) | X86_W, RAX, entry_at(at, offsetof(struct jit_page, write)));
    to_entry(as, at);
    x86_alu_imm(as, ALU_AND, X86_W, RAX, PAGE_MASK);
    x86_rr(as, X86_MOV | X86_W, RAX, at);
    x86_rm(as, X86_MOV_STORE | X86_W, RAX, value);
    x86_rm(as, X86_MOV | X86_W, at, address);
    jit_share(as, at);
    x86_rm(as, X86_MOV_STORE | X86_W, jit_use(as, ins->a, JIT_INTEGERS), address);
}

bool x86_emit_paged(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ir_is_host_address(as->ir, ins->a))
        return false;
    switch (ins->op) {
    case IR_HOST: emit_host(as, ref, ins); return true;
    case IR_LDS8:
    case IR_LDU8:
    case IR_LDS16:
    case IR_LDU16:
    case IR_LDS32:
    case IR_LDU32:
    case IR_LD64: emit_load(as, ref, ins); return true;
    case IR_LDF: emit_load_fp(as, ref, ins); return true;
    case IR_ST8:
    case IR_ST16:
    case IR_ST32:
    case IR_ST64: emit_store(as, ins); return true;
    case IR_STF: emit_store_fp(as, ins); return true;
    case IR_ZERO: emit_zero(as, ins); return true;
    default: return false;
    }
}
