/* Where slots are in a unit and between units, and what brings them from here to there. */
#include "jit/assembler.h"

#include <string.h>

static unsigned pin_of(const struct jit_assembler *as, const struct ir_slot *slot)
{
    return as->target->pins[slot->type == IR_F64][slot->pin];
}

/* The register that the slot, which another machine numbers otherwise, has between units. */
static unsigned find_outer_pin(const struct jit_assembler *as, const struct ir_slot *slot)
{
    const struct ir_machine *outer = &as->machine->ir;
    for (unsigned i = 0; i < outer->pin_count; i++)
        if (outer->slots[i].offset == slot->offset)
            return pin_of(as, &outer->slots[i]);
    return JIT_NO_REG;
}

void jit_set_layout(struct jit_assembler *as, const struct ir_machine *machine)
{
    as->pin_count = machine->pin_count;
    as->pinned = 0;
    as->pins = 0;
    memset(as->pin_slot, 0, sizeof(as->pin_slot));
    memset(as->entry_value, 0, sizeof(as->entry_value));
    memset(as->entry_held, 0, sizeof(as->entry_held));
    for (unsigned slot = 0; slot < machine->slot_count; slot++) {
        as->outer_pin[slot] = (uint8_t)find_outer_pin(as, &machine->slots[slot]);
        as->slot_pin[slot] = JIT_NO_REG;
        if (slot >= machine->pin_count)
            continue;
        unsigned pin = pin_of(as, &machine->slots[slot]);
        as->slot_pin[slot] = (uint8_t)pin;
        as->pin_slot[pin] = (uint8_t)(slot + 1);
        as->pinned |= UINT64_C(1) << slot;
        as->pins |= JIT_REG(pin);
        as->entry_value[slot] = as->entry_held[pin] = (ir_ref)(IR_BASE + slot);
        as->entry_ins[slot] = (struct ir_ins){
            .op = IR_GET, .type = machine->slots[slot].type & 7u, .reg = (uint8_t)pin, .a = (ir_ref)slot};
    }
}

static void add_step(struct jit_steps *steps, struct jit_step step)
{
    steps->step[steps->count++] = step;
}

/* A way in the making. Stores come first, then moves, which happen at once, then what else fills registers; at last what
 * goes by way of a scratch register. */
struct way {
    struct jit_assembler *as;
    struct jit_steps *steps;
    struct jit_step moves[JIT_REGS], late[2 * JIT_REGS], last[3 * JIT_REGS];
    unsigned move_count, late_count, last_count;
};

static void way_begin(struct way *w, struct jit_assembler *as, struct jit_steps *steps)
{
    w->as = as;
    w->steps = steps;
    w->move_count = w->late_count = w->last_count = 0;
    steps->count = 0;
}

static void add_move(struct way *w, unsigned to, unsigned from)
{
    if (to != from)
        w->moves[w->move_count++] =
            (struct jit_step){.kind = JIT_STEP_MOVE, .to = (uint8_t)to, .from = (uint8_t)from};
}

static void add_load(struct way *w, unsigned to, int32_t offset)
{
    w->late[w->late_count++] = (struct jit_step){.kind = JIT_STEP_LOAD, .to = (uint8_t)to, .offset = offset};
}

/* Moves that are to happen at once, as a sequence: a destination is written when no other move reads it any more;
 * what is left then is cycles, which swaps resolve. */
static void order_moves(struct jit_step *moves, unsigned count, struct jit_steps *steps)
{
    while (count) {
        uint32_t sources = 0;
        unsigned kept = 0;
        for (unsigned i = 0; i < count; i++)
            sources |= JIT_REG(moves[i].from);
        for (unsigned i = 0; i < count; i++) {
            if (sources & JIT_REG(moves[i].to))
                moves[kept++] = moves[i];
            else
                add_step(steps, moves[i]);
        }
        if (kept == count) {
            struct jit_step swap = moves[--count];
            swap.kind = JIT_STEP_SWAP;
            add_step(steps, swap);
            kept = 0;
            for (unsigned i = 0; i < count; i++) {
                if (moves[i].from == swap.to)
                    moves[i].from = swap.from;
                else if (moves[i].from == swap.from)
                    moves[i].from = swap.to;
                if (moves[i].from != moves[i].to)
                    moves[kept++] = moves[i];
            }
        }
        count = kept;
    }
}

static void way_end(struct way *w)
{
    order_moves(w->moves, w->move_count, w->steps);
    for (unsigned i = 0; i < w->late_count; i++)
        add_step(w->steps, w->late[i]);
    for (unsigned i = 0; i < w->last_count; i++)
        add_step(w->steps, w->last[i]);
}

static struct jit_step finish_step(struct jit_assembler *as, ir_ref ref, unsigned reg)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    return (struct jit_step){.kind = JIT_STEP_FINISH, .to = (uint8_t)reg, .op = ins->op, .type = ins->type};
}

/* The value is to be in the register. */
static void bring(struct way *w, ir_ref value, unsigned to)
{
    struct jit_assembler *as = w->as;
    if (ir_is_constant(value)) {
        w->late[w->late_count++] = (struct jit_step){
            .kind = JIT_STEP_CONSTANT, .to = (uint8_t)to, .constant = ir_constant_value(as->ir, value)};
        return;
    }
    ir_ref raw = jit_raw(as, value);
    const struct ir_ins *ins = ir_at(as->ir, raw);
    if (ins->reg != JIT_NO_REG)
        add_move(w, to, ins->reg);
    else
        add_load(w, to, jit_home_offset(as, ins));
    if (raw != value)
        w->late[w->late_count++] = finish_step(as, value, to);
}

/* The value is to be in memory. */
static void put(struct way *w, ir_ref value, int32_t offset)
{
    struct jit_assembler *as = w->as;
    if (ir_is_constant(value)) {
        add_step(w->steps, (struct jit_step){.kind = JIT_STEP_STORE_CONSTANT,
                                             .offset = offset,
                                             .constant = ir_constant_value(as->ir, value)});
        return;
    }
    ir_ref raw = jit_raw(as, value);
    const struct ir_ins *ins = ir_at(as->ir, raw);
    struct jit_step store = {.kind = JIT_STEP_STORE, .from = ins->reg, .offset = offset};
    if (ins->reg != JIT_NO_REG) {
        if (raw != value)
            add_step(w->steps, finish_step(as, value, ins->reg));
        add_step(w->steps, store);
        return;
    }
    uint32_t kin = jit_is_fp(as, raw) ? JIT_FPS : JIT_INTEGERS;
    store.from = (uint8_t)__builtin_ctz(as->target->scratch & kin);
    w->last[w->last_count++] =
        (struct jit_step){.kind = JIT_STEP_LOAD, .to = store.from, .offset = jit_home_offset(as, ins)};
    if (raw != value)
        w->last[w->last_count++] = finish_step(as, value, store.from);
    w->last[w->last_count++] = store;
}

void jit_way_home(struct jit_assembler *as, ir_ref target, unsigned target_reg, struct jit_steps *steps)
{
    struct way w;
    uint64_t missing = as->away & ~as->claimed_slots;
    steps->count = 0;
    if (!missing && !target)
        return;
    way_begin(&w, as, steps);
    for (uint64_t set = missing; set; set &= set - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(set);
        bring(&w, as->value[slot], as->slot_pin[slot]);
    }
    if (target)
        bring(&w, target, target_reg);
    way_end(&w);
}

void jit_way_out(struct jit_assembler *as, struct jit_steps *steps)
{
    const struct ir_machine *m = as->ir->machine;
    struct way w;
    way_begin(&w, as, steps);
    for (unsigned slot = 0; slot < m->slot_count; slot++) {
        unsigned outer = as->outer_pin[slot];
        if (slot >= m->pin_count) {
            if (outer != JIT_NO_REG)
                add_load(&w, outer, m->slots[slot].offset);
        } else if (outer != JIT_NO_REG) {
            bring(&w, as->value[slot], outer);
        } else if (as->ir->slot[slot]) { /* memory may be behind since an earlier round */
            put(&w, as->value[slot], m->slots[slot].offset);
        }
    }
    way_end(&w);
}

void jit_way_in(struct jit_assembler *as, struct jit_steps *steps)
{
    const struct ir_machine *m = as->ir->machine;
    struct way w;
    way_begin(&w, as, steps);
    for (unsigned slot = 0; slot < m->slot_count; slot++) {
        unsigned outer = as->outer_pin[slot], pin = as->slot_pin[slot];
        if (pin == JIT_NO_REG && outer != JIT_NO_REG)
            add_step(steps, (struct jit_step){.kind = JIT_STEP_STORE,
                                              .from = (uint8_t)outer,
                                              .offset = m->slots[slot].offset});
        else if (pin != JIT_NO_REG && outer == JIT_NO_REG)
            add_load(&w, pin, m->slots[slot].offset);
        else if (pin != JIT_NO_REG)
            add_move(&w, pin, outer);
    }
    way_end(&w);
}

static void emit_step(struct jit_assembler *as, const struct jit_step *s)
{
    const struct jit_target *t = as->target;
    switch (s->kind) {
    case JIT_STEP_MOVE: t->move(as, s->to, s->from); break;
    case JIT_STEP_SWAP: t->swap(as, s->to, s->from); break;
    case JIT_STEP_LOAD: t->load(as, s->to, s->offset); break;
    case JIT_STEP_STORE: t->store(as, s->from, s->offset); break;
    case JIT_STEP_CONSTANT: t->constant(as, s->to, s->constant); break;
    case JIT_STEP_STORE_CONSTANT: t->store_constant(as, s->constant, s->offset); break;
    case JIT_STEP_FINISH: t->finish(as, s->to, (enum ir_op)s->op, (enum ir_type)s->type); break;
    }
}

void jit_emit_steps(struct jit_assembler *as, const struct jit_steps *steps)
{
    for (unsigned i = 0; i < steps->count; i++)
        emit_step(as, &steps->step[as->in_cold ? i : steps->count - 1 - i]);
}
