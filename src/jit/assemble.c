#include "jit/assembler.h"

#include "base/util.h"

#include <guise.h>

#include <stdlib.h>
#include <string.h>

/* What jit_recover() is after. */
struct jit_probe {
    const struct jit_fault *fault;
    void *state_register;
    bool found;
    uint64_t pc, address;
};

static bool is_pinned_get(const struct jit_assembler *as, ir_ref ref)
{
    return ref - (unsigned)IR_BASE < as->pin_count;
}

static unsigned slot_of_get(ir_ref ref)
{
    return ref - IR_BASE;
}

static uint32_t class_of(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->op == IR_GET)
        return ins->type == IR_F64 ? JIT_FPS : JIT_INTEGERS;
    return ir_ops[ins->op].result == IR_RESULT_F ? JIT_FPS : JIT_INTEGERS;
}

bool jit_is_fp(struct jit_assembler *as, ir_ref ref)
{
    return class_of(as, ref) == JIT_FPS;
}

static int32_t spill_offset(const struct jit_assembler *as, unsigned spill)
{
    return as->machine->state +
           (int32_t)(offsetof(struct jit_state, spills) + (spill - 1) * sizeof(uint64_t));
}

/* Is the value in its slot's memory at this point and everywhere above? */
static bool is_home(const struct jit_assembler *as, const struct ir_ins *ins)
{
    return ins->op == IR_GET && !as->value[ins->a];
}

int32_t jit_home_offset(const struct jit_assembler *as, const struct ir_ins *ins)
{
    return ins->spill ? spill_offset(as, ins->spill) : as->ir->machine->slots[ins->a].offset;
}

ir_ref jit_raw(struct jit_assembler *as, ir_ref ref)
{
    if (ir_is_constant(ref))
        return ref;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    return (ins->op == IR_CANON || ins->op == IR_BOX) && jit_is_idle(as, ref) ? ins->a : ref;
}

ir_ref jit_unboxed(struct jit_assembler *as, ir_ref ref, enum ir_type type)
{
    return type == IR_F32 && ir_at(as->ir, ref)->op == IR_BOX ? jit_raw(as, ref) : ref;
}

ir_ref jit_operand(struct jit_assembler *as, ir_ref ref, enum ir_type type)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    return ins->op == IR_CANON && ins->type == type ? jit_raw(as, ref) : jit_unboxed(as, ref, type);
}

bool jit_in_memory(struct jit_assembler *as, ir_ref ref, int32_t *offset)
{
    if (ir_is_constant(ref))
        return false;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->reg != JIT_NO_REG || !(ins->spill || is_home(as, ins)))
        return false;
    *offset = jit_home_offset(as, ins);
    return true;
}

/* ---- Registers ---- */

static void hold(struct jit_assembler *as, unsigned reg, ir_ref ref)
{
    as->held[reg] = ref;
    as->free &= ~JIT_REG(reg);
    as->avoid &= ~JIT_REG(reg);
    ir_at(as->ir, ref)->reg = (uint8_t)reg;
}

static void release(struct jit_assembler *as, unsigned reg)
{
    ir_at(as->ir, as->held[reg])->reg = JIT_NO_REG;
    as->held[reg] = 0;
    as->free |= JIT_REG(reg);
}

static unsigned hint_pin(struct jit_assembler *as, ir_ref ref)
{
    unsigned hint = ir_at(as->ir, ref)->hint;
    return hint ? as->target->pins[class_of(as, ref) == JIT_FPS][hint] : JIT_NO_REG;
}

static unsigned random_register(struct jit_assembler *as, uint32_t set)
{
    as->random = as->random * 1664525 + 1013904223;
    for (unsigned skip = (as->random >> 16) % (unsigned)__builtin_popcount(set); skip; skip--)
        set &= set - 1;
    return (unsigned)__builtin_ctz(set);
}

/* A free register of `allowed`, or JIT_NO_REG. */
static unsigned pick_free(struct jit_assembler *as, uint32_t allowed, unsigned hint)
{
    uint32_t set = as->free & allowed & ~as->busy;
    if (as->modes.random && set)
        return random_register(as, set);
    if (hint != JIT_NO_REG && set & ~as->avoid & JIT_REG(hint))
        return hint;
    if (set & as->target->scratch)
        set &= as->target->scratch;
    else if (as->modes.few_registers)
        return JIT_NO_REG;
    else if (set & ~as->avoid)
        set &= ~as->avoid;
    return set ? (unsigned)__builtin_ctz(set) : JIT_NO_REG;
}

static unsigned take_spill(struct jit_assembler *as)
{
    if (!as->spills) { /* as when there is no room for the code: the unit is given up */
        as->left = 0;
        return 1;
    }
    unsigned spill = (unsigned)__builtin_ctzll(as->spills);
    as->spills &= as->spills - 1;
    return spill + 1;
}

/* The value in `reg` is somewhere in memory above this point: below, it is loaded again. */
static void spill(struct jit_assembler *as, unsigned reg)
{
    ir_ref ref = as->held[reg];
    struct ir_ins *ins = ir_at(as->ir, ref);
    if (!ins->spill && !is_home(as, ins))
        ins->spill = (uint8_t)take_spill(as);
    as->target->load(as, reg, jit_home_offset(as, ins));
    release(as, reg);
}

/* Frees a register of `allowed`: that of the value which was made first, for it is likely to be wanted last above. */
static unsigned evict(struct jit_assembler *as, uint32_t allowed)
{
    ir_ref oldest = UINT16_MAX;
    unsigned victim = JIT_NO_REG;
    for (uint32_t set = allowed & as->target->registers & ~(as->busy | as->free | as->written); set;
         set &= set - 1) {
        unsigned reg = (unsigned)__builtin_ctz(set);
        if (as->held[reg] && as->held[reg] < oldest && !is_pinned_get(as, as->held[reg]) &&
            as->held[reg] != JIT_CLAIM) {
            oldest = as->held[reg];
            victim = reg;
        }
    }
    if (victim == JIT_NO_REG)
        abort(); /* no operation has more operands than there are scratch registers */
    spill(as, victim);
    return victim;
}

static void displace(struct jit_assembler *as, unsigned reg);
static void fill_pin(struct jit_assembler *as, unsigned pin, ir_ref value);

static void drop_claim(struct jit_assembler *as, unsigned pin)
{
    as->claimed &= ~JIT_REG(pin);
    as->claimed_slots &= ~(UINT64_C(1) << (as->pin_slot[pin] - 1u));
}

/* A claimed pin is given up: what is wanted in it is brought there at this point. */
static void unclaim(struct jit_assembler *as, unsigned pin)
{
    fill_pin(as, pin, as->value[as->pin_slot[pin] - 1u]);
}

static unsigned pick(struct jit_assembler *as, uint32_t allowed, unsigned hint)
{
    if (!(allowed & (allowed - 1))) { /* this one and no other */
        unsigned only = (unsigned)__builtin_ctz(allowed);
        if (as->held[only])
            displace(as, only);
        return only;
    }
    unsigned reg = pick_free(as, allowed, hint);
    if (reg != JIT_NO_REG)
        return reg;
    uint32_t scratch = as->free & allowed & ~as->busy;
    if (scratch)
        return (unsigned)__builtin_ctz(scratch);
    uint32_t claimed = as->claimed & allowed & ~(as->busy | as->written);
    if (!claimed)
        return evict(as, allowed);
    reg = (unsigned)__builtin_ctz(claimed);
    unclaim(as, reg);
    return reg;
}

/* Makes a register free: its value is in another one above this point. */
static void displace(struct jit_assembler *as, unsigned reg)
{
    if (as->claimed & JIT_REG(reg)) {
        unclaim(as, reg);
        return;
    }
    ir_ref ref = as->held[reg];
    uint32_t kin = reg < JIT_FP ? JIT_INTEGERS : JIT_FPS;
    unsigned other = pick_free(as, kin & ~JIT_REG(reg) & ~as->written, JIT_NO_REG);
    if (other == JIT_NO_REG) {
        spill(as, reg);
        return;
    }
    as->target->move(as, reg, other);
    release(as, reg);
    hold(as, other, ref);
}

static __attribute__((noinline)) void take_pin(struct jit_assembler *as, unsigned pin, ir_ref get)
{
    if (as->held[pin])
        displace(as, pin);
    hold(as, pin, get);
}

/* A pinned slot's value at the entry is in the pin all the way from there to its last use. */
static inline void hold_pin(struct jit_assembler *as, unsigned slot)
{
    unsigned pin = as->slot_pin[slot];
    ir_ref get = (ir_ref)(IR_BASE + slot);
    if (as->held[pin] != get)
        take_pin(as, pin, get);
}

static void mark_busy(struct jit_assembler *as, unsigned reg)
{
    as->busy |= JIT_REG(reg);
}

static void put_off(struct jit_assembler *as, unsigned reg, unsigned from, int64_t constant)
{
    as->later[as->later_count++] = (struct jit_later){(uint8_t)reg, (uint8_t)from, constant};
}

unsigned jit_temp(struct jit_assembler *as, uint32_t allowed)
{
    unsigned reg = pick(as, allowed, JIT_NO_REG);
    mark_busy(as, reg);
    return reg;
}

/* The result is not where the operation makes it, or has a spill slot too. */
static __attribute__((noinline)) unsigned def_elsewhere(struct jit_assembler *as, struct ir_ins *ins,
                                                        uint32_t allowed)
{
    unsigned home = ins->reg, reg = home, spill = ins->spill;
    if (home == JIT_NO_REG || !(JIT_REG(home) & allowed)) {
        if (home != JIT_NO_REG)
            mark_busy(as, home);
        reg = pick(as, allowed & ~as->wanted, JIT_NO_REG);
    }
    if (spill) {
        as->target->store(as, reg, spill_offset(as, spill));
        as->spills |= UINT64_C(1) << (spill - 1);
        ins->spill = 0;
    }
    if (home != JIT_NO_REG && home != reg) {
        as->target->move(as, home, reg);
        as->busy &= ~JIT_REG(home);
    }
    return reg;
}

unsigned jit_def(struct jit_assembler *as, ir_ref ref, uint32_t allowed)
{
    struct ir_ins *ins = ir_at(as->ir, ref);
    unsigned home = ins->reg, reg = home;
    if (unlikely(home == JIT_NO_REG || !(JIT_REG(home) & allowed) || ins->spill))
        reg = def_elsewhere(as, ins, allowed);
    if (likely(home != JIT_NO_REG)) {
        release(as, home);
        if (as->wanted & JIT_REG(home))
            hold_pin(as, as->pin_slot[home] - 1u);
    }
    mark_busy(as, reg);
    as->written |= JIT_REG(reg);
    return reg;
}

static __attribute__((noinline)) unsigned use_copy(struct jit_assembler *as, unsigned from, int64_t constant,
                                                   uint32_t allowed)
{
    unsigned copy = jit_temp(as, allowed);
    put_off(as, copy, from, constant);
    return copy;
}

unsigned jit_use(struct jit_assembler *as, ir_ref ref, uint32_t allowed)
{
    if (ir_is_constant(ref))
        return use_copy(as, JIT_NO_REG, ir_constant_value(as->ir, ref), allowed);
    struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->reg == JIT_NO_REG) {
        if (is_pinned_get(as, ref))
            hold_pin(as, slot_of_get(ref));
        else
            hold(as, pick(as, allowed, hint_pin(as, ref)), ref);
    }
    unsigned reg = ins->reg;
    mark_busy(as, reg);
    return likely(JIT_REG(reg) & allowed) ? reg : use_copy(as, reg, 0, allowed);
}

bool jit_dies(struct jit_assembler *as, ir_ref ref)
{
    return !ir_is_constant(ref) && !is_pinned_get(as, ref) && ir_at(as->ir, ref)->reg == JIT_NO_REG;
}

void jit_use_as(struct jit_assembler *as, ir_ref ref, unsigned reg)
{
    if (ir_is_constant(ref)) {
        put_off(as, reg, JIT_NO_REG, ir_constant_value(as->ir, ref));
        return;
    }
    struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->reg == JIT_NO_REG) {
        if (is_pinned_get(as, ref))
            hold_pin(as, slot_of_get(ref));
        else if (as->free & JIT_REG(reg))
            hold(as, reg, ref);
        else
            hold(as, pick(as, class_of(as, ref), hint_pin(as, ref)), ref);
    }
    if (ins->reg != reg) {
        mark_busy(as, ins->reg);
        put_off(as, reg, ins->reg, 0);
    }
}

void jit_clobber(struct jit_assembler *as, uint32_t regs)
{
    as->busy |= regs;
    for (uint32_t set = regs & ~as->free & as->target->registers; set; set &= set - 1) {
        unsigned reg = (unsigned)__builtin_ctz(set);
        if (as->held[reg])
            displace(as, reg);
    }
}

void jit_done(struct jit_assembler *as)
{
    while (as->later_count) {
        const struct jit_later *l = &as->later[--as->later_count];
        if (l->from == JIT_NO_REG)
            as->target->constant(as, l->reg, l->constant);
        else
            as->target->move(as, l->reg, l->from);
    }
    as->busy = 0;
}

/* ---- The state at a point ---- */

/* `hint` is the value whose hint counts. */
static void place(struct jit_assembler *as, ir_ref ref, ir_ref hint)
{
    struct ir_ins *ins = ir_at(as->ir, ref);
    if (is_pinned_get(as, ref)) {
        hold_pin(as, slot_of_get(ref));
        return;
    }
    if (ins->reg != JIT_NO_REG || ins->spill)
        return;
    unsigned reg = pick_free(as, class_of(as, ref) & ~as->written, hint_pin(as, hint));
    if (reg != JIT_NO_REG)
        hold(as, reg, ref);
    else
        ins->spill = (uint8_t)take_spill(as);
}

void jit_place(struct jit_assembler *as, ir_ref ref)
{
    place(as, ref, ref);
}

/* Entry values first: each has its pin, which another value must not take. */
static void hold_entries(struct jit_assembler *as, uint64_t slots)
{
    for (uint64_t set = slots & as->pinned & ~as->away; set; set &= set - 1)
        hold_pin(as, (unsigned)__builtin_ctzll(set));
}

void jit_settle(struct jit_assembler *as, uint64_t unfinished)
{
    uint64_t *unsettled = as->unsettled;
    unsettled[0] |= as->sunk & ~unfinished;
    as->sunk &= unfinished;
    if (!(unsettled[0] | unsettled[1]))
        return;
    hold_entries(as, unsettled[0]);
    for (uint64_t set = unsettled[0] & as->away; set; set &= set - 1) {
        ir_ref value = as->value[(unsigned)__builtin_ctzll(set)], raw = value;
        if (set & -set & unfinished)
            raw = jit_raw(as, value);
        if (raw != value)
            as->sunk |= set & -set;
        if (!ir_is_constant(raw))
            place(as, raw, value);
    }
    as->in_memory[0] |= unsettled[0] & ~as->pinned;
    as->in_memory[1] |= unsettled[1];
    for (unsigned i = 0; i < 2; i++)
        unsettled[i] = as->unsure[i] = 0;
}

/* Can jit_recover() tell the value at this point? Once it can, it can everywhere above, where the value exists. */
static bool can_tell(struct jit_assembler *as, ir_ref ref, unsigned depth)
{
    if (ir_is_constant(ref))
        return true;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->reg != JIT_NO_REG || ins->spill || is_home(as, ins))
        return true;
    if (ins->op == IR_CANON || ins->op == IR_BOX)
        return can_tell(as, ins->a, depth);
    const struct ir_op_info *info = &ir_ops[ins->op];
    if (!depth || !(info->flags & IR_PURE) || info->result != IR_RESULT_I || info->a != IR_KIND_R ||
        !ir_can_evaluate(ins->op))
        return false;
    return can_tell(as, ins->a, depth - 1) && (info->b != IR_KIND_R || can_tell(as, ins->b, depth - 1));
}

static void settle_fault_slot(struct jit_assembler *as, unsigned slot)
{
    const unsigned depth = 3;
    ir_ref value = as->value[slot];
    if (can_tell(as, value, depth))
        return;
    if (slot < as->pin_count)
        place(as, jit_raw(as, value), value);
    else
        as->in_memory[slot / 64] |= UINT64_C(1) << slot % 64;
}

void jit_settle_fault(struct jit_assembler *as)
{
    hold_entries(as, as->unsure[0]);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t set = as->unsure[i]; set; set &= set - 1)
            settle_fault_slot(as, 64 * i + (unsigned)__builtin_ctzll(set));
        as->unsure[i] = 0;
    }
}

/* The slot's value, which is wanted in the pin from this point down, is somewhere else above it. (In memory, if it is in the register
 * that the operation under way will overwrite: it came there as an operand alone.) */
static void fill_pin(struct jit_assembler *as, unsigned pin, ir_ref value)
{
    drop_claim(as, pin);
    as->held[pin] = 0;
    as->free |= JIT_REG(pin);
    if (ir_is_constant(value)) {
        as->target->constant(as, pin, ir_constant_value(as->ir, value));
        return;
    }
    const struct ir_ins *ins = ir_at(as->ir, value);
    if (ins->reg != JIT_NO_REG && !(as->written & JIT_REG(ins->reg)))
        as->target->move(as, pin, ins->reg);
    else
        as->target->load(as, pin, jit_home_offset(as, ins));
}

void jit_claim_pins(struct jit_assembler *as)
{
    for (uint64_t set = as->away & ~as->sunk & ~as->claimed_slots; set; set &= set - 1) {
        unsigned pin = as->slot_pin[__builtin_ctzll(set)];
        if (!(as->free & ~as->busy & JIT_REG(pin)))
            continue;
        as->held[pin] = JIT_CLAIM;
        as->free &= ~JIT_REG(pin);
        as->avoid &= ~JIT_REG(pin);
        as->claimed |= JIT_REG(pin);
        as->claimed_slots |= set & -set;
    }
}

/* A slot in memory gets its value where it is set, if somebody may look. */
static void store_set(struct jit_assembler *as, unsigned slot, ir_ref value)
{
    int32_t offset = as->ir->machine->slots[slot].offset;
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (!(as->in_memory[slot / 64] & bit))
        return;
    as->in_memory[slot / 64] &= ~bit;
    if (ir_is_constant(value)) {
        as->target->store_constant(as, ir_constant_value(as->ir, value), offset);
        return;
    }
    as->target->store(as, jit_use(as, value, class_of(as, value)), offset);
    as->busy = 0;
}

/* A claimed pin gets its value where the slot is set. */
static void fill_set(struct jit_assembler *as, unsigned slot, ir_ref value)
{
    unsigned pin = as->slot_pin[slot];
    if (!(as->claimed & JIT_REG(pin)))
        return;
    bool lives_on =
        ir_is_constant(value) || is_pinned_get(as, value) || ir_at(as->ir, value)->reg != JIT_NO_REG;
    if (lives_on && !ir_is_constant(value))
        jit_place(as, value);
    if (lives_on) {
        fill_pin(as, pin, value);
        return;
    }
    drop_claim(as, pin); /* it is made there */
    hold(as, pin, value);
}

/* The slot's value before a SET, which names the SET or GET before it; 0 when there is none. */
static ir_ref value_before(struct jit_assembler *as, const struct ir_ins *set)
{
    ir_ref before = set->prev;
    const struct ir_ins *ins = ir_at(as->ir, before | IR_BASE); /* of 0 any: it does not count */
    unsigned is_set = (before != 0) & (ins->op == IR_SET);      /* in numbers: hard to predict */
    return (ir_ref)((ins->b & -is_set) | (before & (is_set - 1)));
}

/* A pinned slot holds `before` from here upwards. */
static void cross_pinned(struct jit_assembler *as, unsigned slot, ir_ref before)
{
    uint64_t bit = UINT64_C(1) << slot;
    as->sunk &= ~bit;
    as->away |= bit;
    if (before == IR_BASE + slot) {
        as->away &= ~bit;
        if (as->held[as->slot_pin[slot]] != before)
            as->avoid |= JIT_REG(as->slot_pin[slot]);
    }
}

static void cross_set(struct jit_assembler *as, const struct ir_ins *ins)
{
    unsigned slot = ins->a;
    bool pinned = slot < as->pin_count;
    as->written = 0;
    if (pinned)
        fill_set(as, slot, ins->b);
    else
        store_set(as, slot, ins->b);
    ir_ref before = value_before(as, ins);
    uint64_t bit = (uint64_t)(before != 0) << slot % 64;
    as->value[slot] = before;
    as->unsettled[slot / 64] |= bit;
    as->unsure[slot / 64] |= bit;
    if (pinned)
        cross_pinned(as, slot, before);
}

/* ---- Recovery ---- */

static uint64_t found_value(const struct jit_assembler *as, ir_ref ref)
{
    const struct jit_probe *p = as->probe;
    if (ir_is_constant(ref))
        return (uint64_t)ir_constant_value(as->ir, ref);
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->reg != JIT_NO_REG)
        return ins->reg < JIT_FP ? p->fault->integer[ins->reg] : p->fault->fp[ins->reg - JIT_FP];
    if (ins->spill || is_home(as, ins))
        return *(const uint64_t *)((const char *)p->state_register + jit_home_offset(as, ins));
    if (ins->op == IR_BOX)
        return found_value(as, ins->a) | IR_BOXED;
    if (ins->op == IR_CANON)
        return ir_canonical((enum ir_type)ins->type, found_value(as, ins->a));
    /* Wanted for the sake of faults alone, or part of an address that the host computed as it went. */
    int64_t value = 0;
    ir_evaluate(ins->op, ins->type, (int64_t)found_value(as, ins->a), (int64_t)found_value(as, ins->b),
                &value);
    return (uint64_t)value;
}

/* Is the slot's value not in its memory? */
static bool is_elsewhere(const struct jit_assembler *as, unsigned slot)
{
    return as->value[slot] && !(as->in_memory[slot / 64] >> slot % 64 & 1);
}

static void found_fault(struct jit_assembler *as, ir_ref ref)
{
    struct jit_probe *p = as->probe;
    const struct ir_machine *m = as->ir->machine;
    uint64_t values[IR_MAX_SLOTS];
    p->found = true;
    p->pc = ir_pc_of(as->ir, ref);
    p->address = p->fault->address ? p->fault->address - as->machine->memory_base
                                   : found_value(as, ir_at(as->ir, ref)->a);
    for (unsigned slot = 0; slot < m->slot_count; slot++)
        if (is_elsewhere(as, slot))
            values[slot] = found_value(as, as->value[slot]);
    for (unsigned slot = 0; slot < m->slot_count; slot++)
        if (is_elsewhere(as, slot))
            *(uint64_t *)((char *)p->state_register + m->slots[slot].offset) = values[slot];
}

/* ---- The pass ---- */

static void want_parts(struct jit_assembler *as, ir_ref user, const struct ir_ins *ins, unsigned depth);

static __attribute__((noinline)) void want_pin(struct jit_assembler *as, ir_ref user, ir_ref ref)
{
    unsigned pin = as->slot_pin[slot_of_get(ref)];
    as->wanted |= JIT_REG(pin);
    if (as->held[pin] != user)
        hold_pin(as, slot_of_get(ref));
}

/* Not only constants are below IR_BASE, but all other things that instructions name as well. */
static inline void want(struct jit_assembler *as, ir_ref user, ir_ref ref, unsigned depth)
{
    if (is_pinned_get(as, ref)) {
        want_pin(as, user, ref);
        return;
    }
    const struct ir_ins *ins = ir_at(as->ir, ref | IR_BASE); /* of a constant any: it does not count */
    unsigned value = ref >= IR_BASE, idle = ins->reg == JIT_NO_REG && !ins->spill;
    unsigned part = (ir_ops[ins->op].flags & IR_PART) != 0;
    if (value & part & idle & (depth != 0))
        want_parts(as, user, ins, depth - (ins->op != IR_PAIR));
}

static void want_parts(struct jit_assembler *as, ir_ref user, const struct ir_ins *ins, unsigned depth)
{
    want(as, user, ins->a, depth);
    want(as, user, ins->b, depth);
}

/* Entry values that the operation reads, directly or through operands that are computed as part of it, get their pins
 * first: done later, it would take away a register that was already chosen. Where the pin holds the operation's own
 * result, jit_def() sees to it. */
static void want_operands(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    enum { DEPTH = 3 };
    as->wanted = as->written = 0;
    want(as, ref, ins->a, DEPTH);
    want(as, ref, ins->b, DEPTH);
}

static void load_slot(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    if (jit_is_idle(as, ref))
        return;
    unsigned reg = jit_def(as, ref, class_of(as, ref));
    as->target->load(as, reg, as->ir->machine->slots[ins->a].offset);
    as->busy = 0;
}

static void assemble_exit(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    want_operands(as, ref, ins);
    as->target->exit(as, ref);
}

static void look_for_fault(struct jit_assembler *as, ir_ref ref, const uint8_t *end, const uint8_t *cold)
{
    const uint8_t *pc = as->probe->fault->pc;
    if ((pc >= as->hot + as->hot_exec && pc < end + as->hot_exec) ||
        (pc >= cold + as->cold_exec && pc < as->cold + as->cold_exec))
        found_fault(as, ref);
}

static void assemble_operation(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned flags = ir_ops[ins->op].flags, idle = ins->reg == JIT_NO_REG && !ins->spill;
    unsigned droppable = (flags & (IR_PURE | IR_KEEP)) == IR_PURE;
    if (idle & (droppable | (ins->hint == JIT_CONSUMED)))
        return;
    const uint8_t *cold = as->cold, *end = as->hot;
    want_operands(as, ref, ins);
    as->target->emit(as, ref);
    if (unlikely(as->probe) && flags & IR_FAULT)
        look_for_fault(as, ref, end, cold);
}

static void assemble_ins(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    if (ins->op >= IR_ADD)
        assemble_operation(as, ref, ins);
    else if (ins->op >= IR_EXIT && ins->op <= IR_POLL)
        assemble_exit(as, ref, ins);
    else if (ins->op == IR_GET)
        load_slot(as, ref, ins);
    else if (ins->op == IR_LOOP)
        as->target->loop(as);
}
_Static_assert(IR_BR > IR_EXIT && IR_POLL > IR_BR && IR_LOOP < IR_ADD, "what assemble_ins() tells apart");

/* From the last instruction up to where the GETs of pinned slots begin. An order of tests that can be predicted: most SETs are
 * behind what they name, and most PCs before what may fault or leave. */
static void assemble_all(struct jit_assembler *as, struct ir *ir)
{
    const struct ir_ins *first = ir->ins + ir->machine->pin_count, *ins = ir->ins + ir->count;
    while (ins > first && likely(as->left)) {
        ins--;
        if (ins->op == IR_SET) {
            cross_set(as, ins);
            continue;
        }
        assemble_ins(as, (ir_ref)(IR_BASE + (ins - ir->ins)), ins);
        const struct ir_ins *above = ins - (ins > first);
        ins -= above->op == IR_PC;
    }
}

/* The state at the unit's end: what slots were set to, and in all other pins the values of the entry, which have to be there all
 * the way. */
static void begin_state(struct jit_assembler *as, struct ir *ir)
{
    memcpy(as->value, as->entry_value, sizeof(as->value));
    for (unsigned i = 0; i < 2; i++) {
        as->unsettled[i] = as->unsure[i] = ir->set[i];
        as->in_memory[i] = 0;
        for (uint64_t set = ir->set[i]; set; set &= set - 1) {
            unsigned slot = 64 * i + (unsigned)__builtin_ctzll(set);
            as->value[slot] = ir_at(ir, ir->slot[slot])->b;
        }
    }
    as->away = ir->set[0] & as->pinned;
    as->free = as->target->registers & ~as->pins;
    memcpy(as->held, as->entry_held, sizeof(as->held));
    memcpy(ir->ins, as->entry_ins, ir->machine->pin_count * sizeof(ir->ins[0]));
    for (uint64_t set = as->away; set; set &= set - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(set);
        release(as, as->slot_pin[slot]);
        if (as->value[slot] == IR_BASE + slot)
            as->away &= ~(UINT64_C(1) << slot);
    }
}

static void begin(struct jit_assembler *as, struct ir *ir)
{
    as->ir = ir;
    if (ir->loop)
        jit_set_layout(as, ir->machine);
    as->back_count = 0;
    as->stop = (struct jit_stop){NULL, NULL};
    as->in_cold = false;
    as->left = JIT_UNIT_MAX - 256;
    as->busy = as->avoid = as->wanted = as->written = as->claimed = 0;
    as->sunk = as->claimed_slots = 0;
    as->spills = ~UINT64_C(0);
    as->later_count = as->site_count = 0;
    as->random = as->modes.random;
    begin_state(as, ir);
}

static void assemble(struct jit_assembler *as, struct ir *ir)
{
    begin(as, ir);
    assemble_all(as, ir);
    if (ir->counted)
        as->target->count(as);
    if (unlikely(ir->loop)) {
        struct jit_steps steps;
        jit_way_in(as, &steps);
        jit_emit_steps(as, &steps);
        jit_set_layout(as, &as->machine->ir);
    }
}

void jit_begin_room(struct jit_assembler *as, const struct jit_thunks *thunks, struct jit_room room,
                    unsigned first_site)
{
    as->thunks = thunks;
    as->hot = room.hot;
    as->cold = room.cold;
    as->hot_exec = as->cold_exec = room.to_exec;
    as->first_site = first_site;
    as->probe = NULL;
}

void jit_end_room(const struct jit_assembler *as, struct jit_room room, struct jit_result *result)
{
    if (!as->left) {
        *result = (struct jit_result){.room = room};
        return;
    }
    *result = (struct jit_result){.room = {as->cold, as->hot, room.to_exec},
                                  .entry = jit_here(as),
                                  .stop = as->stop,
                                  .site_count = as->site_count,
                                  .sites = as->sites};
}

uint8_t *jit_begin_scratch(struct jit_assembler *as, const struct jit_thunks *thunks, struct jit_room room,
                           unsigned first_site)
{
    uint8_t *scratch = malloc(2 * JIT_UNIT_MAX);
    if (!scratch)
        return NULL;
    jit_begin_room(as, thunks, (struct jit_room){.cold = scratch, .hot = scratch + 2 * JIT_UNIT_MAX},
                   first_site);
    as->cold_exec = room.cold + room.to_exec - as->cold;
    as->hot_exec = room.hot + room.to_exec - as->hot;
    return scratch;
}

void jit_assemble(struct jit_assembler *as, struct ir *ir, const struct jit_thunks *thunks,
                  struct jit_room room, unsigned first_site, struct jit_result *result)
{
    jit_begin_room(as, thunks, room, first_site);
    assemble(as, ir);
    jit_end_room(as, room, result);
}

bool jit_recover(struct jit_assembler *as, struct ir *ir, const struct jit_thunks *thunks,
                 struct jit_room room, unsigned first_site, const struct jit_fault *fault,
                 void *state_register, uint64_t *pc, uint64_t *address)
{
    struct jit_probe probe = {.fault = fault, .state_register = state_register};
    uint8_t *scratch = jit_begin_scratch(as, thunks, room, first_site);
    if (!scratch)
        return false;
    as->probe = &probe;
    assemble(as, ir);
    free(scratch);
    *pc = probe.pc;
    *address = probe.address;
    return probe.found;
}

void jit_put_bytes(struct jit_assembler *as, const void *bytes, unsigned size)
{
    if (unlikely(size > as->left)) {
        as->left = 0;
        return;
    }
    as->left -= size;
    if (as->in_cold) {
        memcpy(as->cold, bytes, size);
        as->cold += size;
    } else {
        as->hot -= size;
        memcpy(as->hot, bytes, size);
    }
}

/* ---- Life ---- */

int jit_assembler_new(struct jit_assembler **out, const struct jit_machine *machine, struct jit_modes modes)
{
    struct jit_assembler *as = calloc(1, sizeof(*as));
    if (!as)
        return GUISE_E_NOMEM;
    as->machine = machine;
    as->target = &jit_target_host;
    as->modes = modes;
    as->features = as->target->features(modes);
    jit_set_layout(as, &machine->ir);
    *out = as;
    return 0;
}

void jit_assembler_free(struct jit_assembler *as)
{
    free(as);
}

void jit_make_thunks(const struct jit_machine *machine, struct jit_modes modes, struct jit_room *room,
                     struct jit_thunks *thunks)
{
    struct jit_assembler *as;
    if (jit_assembler_new(&as, machine, modes))
        abort();
    as->in_cold = true;
    as->cold = room->cold;
    as->cold_exec = room->to_exec;
    as->left = JIT_UNIT_MAX;
    as->target->thunks(as, thunks);
    room->cold = as->cold;
    jit_assembler_free(as);
}
