#include "jit/target/x86_64/encode.h"

/* An instruction is made from its last byte to its first, as hot code is: right where it belongs. One of cold code is made
 * elsewhere and copied, for its size has to be known. What adds bytes in front of `at` returns where the next ones go. */
enum { MAX_BYTES = 15 };

static inline uint8_t *end_of(struct jit_assembler *as)
{
    return unlikely(as->in_cold) ? as->scratch + 16 : as->hot;
}

static inline bool take_room(struct jit_assembler *as, unsigned size)
{
    as->last_size = size;
    if (unlikely(as->left < MAX_BYTES)) {
        as->left = 0;
        return false;
    }
    as->left -= size;
    return true;
}

static inline void finish(struct jit_assembler *as, uint8_t *start)
{
    unsigned size = (unsigned)(end_of(as) - start);
    if (!take_room(as, size))
        return;
    if (likely(!as->in_cold)) {
        as->hot = start;
        return;
    }
    memcpy(as->cold, start, 16); /* what is too much falls on memory that is still free */
    as->cold += size;
}

static inline uint8_t *add(uint8_t *at, unsigned byte)
{
    *--at = (uint8_t)byte;
    return at;
}

/* Displacement, immediate: 1, 2 or 4 bytes, or none. */
static inline uint8_t *add_number(uint8_t *at, int32_t value, unsigned size)
{
    if (size == 1)
        return add(at, (unsigned)value);
    at -= size;
    if (size == 2)
        memcpy(at, &value, 2);
    else if (size)
        memcpy(at, &value, 4);
    return at;
}

/* The opcode's bytes, REX and prefixes; register numbers' fourth bits go into REX. */
static inline uint8_t *add_opcode(uint8_t *at, uint32_t op, unsigned reg, unsigned index, unsigned base,
                                  bool byte_register)
{
    unsigned prefix = op >> 16 & 0xff, map = op >> 8 & 0xff;
    unsigned rex = (op & X86_W ? 8u : 0) | (reg >> 1 & 4) | (index >> 2 & 2) | (base >> 3 & 1);
    at = add(at, op);
    if (map) {
        if (map > 1)
            at = add(at, map == 2 ? 0x38 : 0x3a);
        at = add(at, 0x0f);
    }
    if (rex || byte_register)
        at = add(at, 0x40 | rex);
    return prefix ? add(at, prefix) : at;
}

static uint8_t *add_vex(uint8_t *at, uint32_t op, unsigned reg, unsigned index, unsigned base,
                        unsigned second)
{
    unsigned prefix = op >> 16 & 0xff, map = op >> 8 & 0xff;
    unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
    unsigned r = ~reg >> 3 & 1, x = ~index >> 3 & 1, bb = ~base >> 3 & 1, v = ~second & 15;
    at = add(at, op);
    if (map == 1 && x && bb && !(op & X86_W)) {
        at = add(at, r << 7 | v << 3 | pp);
        return add(at, 0xc5);
    }
    at = add(at, (op & X86_W ? 0x80u : 0) | v << 3 | pp);
    at = add(at, r << 7 | x << 6 | bb << 5 | map);
    return add(at, 0xc4);
}

static inline uint8_t *add_modrm(uint8_t *at, unsigned mod, unsigned reg, unsigned rm)
{
    return add(at, mod << 6 | (reg & 7) << 3 | (rm & 7));
}

/* In the place of a base register: a SIB byte follows; there is none. */
enum { SIB = 4, NO_BASE = 5 };

/* Memory that is relative to the instruction's end, or absolute. In cold code the end is not known yet: move_target(). */
static uint8_t *add_unbased(const struct jit_assembler *as, uint8_t *at, unsigned reg, struct x86_mem m)
{
    if (m.target) {
        at = add_number(at, (int32_t)((const uint8_t *)m.target - jit_here(as)), 4);
        return add_modrm(at, 0, reg, NO_BASE);
    }
    at = add_number(at, m.disp, 4);
    at = add_modrm(at, m.scale, m.index < 0 ? SIB : (unsigned)m.index, NO_BASE);
    return add_modrm(at, 0, reg, SIB);
}

/* Displacement, SIB and ModRM. */
static inline uint8_t *add_memory(const struct jit_assembler *as, uint8_t *at, unsigned reg, struct x86_mem m)
{
    if (unlikely(m.base < 0))
        return add_unbased(as, at, reg, m);
    unsigned base = (unsigned)m.base & 7;
    unsigned size = m.disp == 0 && base != NO_BASE ? 0 : m.disp == (int8_t)m.disp ? 1 : 4;
    unsigned mod = size == 4 ? 2 : size;
    at = add_number(at, m.disp, size);
    if (m.index >= 0 || base == SIB) {
        at = add_modrm(at, m.scale, m.index < 0 ? SIB : (unsigned)m.index, base);
        base = SIB;
    }
    return add_modrm(at, mod, reg, base);
}

/* In cold code: the displacement before `behind` becomes relative to the instruction's end. */
static void move_target(const uint8_t *start, uint8_t *behind, const uint8_t *end)
{
    int32_t displacement;
    memcpy(&displacement, behind - sizeof(displacement), sizeof(displacement));
    displacement -= (int32_t)(end - start);
    memcpy(behind - sizeof(displacement), &displacement, sizeof(displacement));
}

static inline bool wants_rex(uint32_t op, unsigned reg)
{
    return op & X86_B && reg >= RSP && reg < JIT_FP;
}

static inline unsigned high(int8_t reg)
{
    return reg < 0 ? 0 : (unsigned)reg;
}

/* ---- Most instructions: at most eight bytes, put together in a register ---- */

/* The first byte lowest. Once in memory: what is spread over more of it is less often in the processor's cache. */
static __attribute__((noinline)) void put(struct jit_assembler *as, uint64_t bytes, unsigned size)
{
    if (!take_room(as, size))
        return;
    if (unlikely(as->in_cold)) {
        memcpy(as->cold, &bytes, sizeof(bytes));
        as->cold += size;
        return;
    }
    bytes <<= 8 * (sizeof(bytes) - size);
    memcpy(as->hot - sizeof(bytes), &bytes, sizeof(bytes));
    as->hot -= size;
}

struct word {
    uint64_t bytes;
    unsigned size;
};

/* Prefix, REX and opcode before the operands' bytes, ModRM first; of the maps 0 and 1. */
static inline struct word with_opcode(uint32_t op, unsigned rex, bool byte_register, struct word operands)
{
    unsigned prefix = op >> 16 & 0xff, two = op >> 8 & 1, has_rex = rex || byte_register;
    uint64_t bytes = (operands.bytes << 8 | (op & 0xff)) << 8 * two | (0x0fu & -two);
    bytes = bytes << 8 * has_rex | ((0x40u | rex) & -has_rex);
    unsigned size = operands.size + 1 + two + has_rex;
    return likely(!prefix) ? (struct word){bytes, size} : (struct word){bytes << 8 | prefix, size + 1};
}

static inline unsigned rex_of(uint32_t op, unsigned reg, unsigned index, unsigned base)
{
    return (op & X86_W ? 8u : 0) | (reg >> 1 & 4) | (index >> 2 & 2) | (base >> 3 & 1);
}

/* ModRM, SIB and displacement. */
static inline struct word memory_bytes(unsigned reg, struct x86_mem m)
{
    unsigned base = (unsigned)m.base & 7, low = (reg & 7) << 3;
    unsigned size = m.disp == 0 && base != NO_BASE ? 0 : m.disp == (int8_t)m.disp ? 1 : 4;
    unsigned mod = (size == 4 ? 2 : size) << 6;
    uint64_t disp = size == 1 ? (uint8_t)m.disp : (uint32_t)m.disp;
    if (m.index < 0 && base != SIB)
        return (struct word){mod | low | base | disp << 8, 1 + size};
    unsigned index = m.index < 0 ? SIB : (unsigned)m.index & 7;
    uint64_t sib = (unsigned)m.scale << 6 | index << 3 | base;
    return (struct word){mod | low | SIB | sib << 8 | disp << 16, 2 + size};
}

void x86_rri(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm, int32_t imm, unsigned size)
{
    const struct word operands = {0xc0 | (reg & 7) << 3 | (rm & 7) | (uint64_t)(uint32_t)imm << 8, 1 + size};
    struct word w =
        with_opcode(op, rex_of(op, reg, 0, rm), wants_rex(op, reg) || wants_rex(op, rm), operands);
    put(as, w.bytes, w.size);
}

void x86_rr(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm)
{
    x86_rri(as, op, reg, rm, 0, 0);
}

static inline bool wants_segment(const struct jit_assembler *as, struct x86_mem mem)
{
    return mem.guest && (as->machine->memory_base || as->ir->direct);
}

static inline uint8_t *add_segment(const struct jit_assembler *as, uint8_t *at, struct x86_mem mem)
{
    return wants_segment(as, mem) ? add(at, 0x65) : at;
}

/* The same, byte by byte: any instruction. */
static __attribute__((noinline)) void put_long(struct jit_assembler *as, uint32_t op, unsigned reg,
                                               struct x86_mem mem, int32_t imm, unsigned size)
{
    uint8_t *end = end_of(as), *behind = add_number(end, imm, size);
    uint8_t *at = add_memory(as, behind, reg, mem);
    at = add_opcode(at, op, reg, high(mem.index), high(mem.base), wants_rex(op, reg));
    at = add_segment(as, at, mem);
    if (unlikely(mem.target && as->in_cold))
        move_target(at, behind, end);
    finish(as, at);
}

void x86_rmi(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem, int32_t imm,
             unsigned size)
{
    if (unlikely(mem.base < 0 || wants_segment(as, mem))) {
        put_long(as, op, reg, mem, imm, size);
        return;
    }
    unsigned rex = rex_of(op, reg, high(mem.index), (unsigned)mem.base);
    struct word w = with_opcode(op, rex, wants_rex(op, reg), memory_bytes(reg, mem));
    if (likely(w.size + size <= sizeof(w.bytes)))
        put(as, w.bytes | (size ? (uint64_t)(uint32_t)imm << 8 * w.size : 0), w.size + size);
    else
        put_long(as, op, reg, mem, imm, size);
}

void x86_rm(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem)
{
    x86_rmi(as, op, reg, mem, 0, 0);
}

void x86_vex(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm)
{
    uint8_t *at = add_modrm(end_of(as), 3, reg, rm);
    finish(as, add_vex(at, op, reg, 0, rm, second));
}

void x86_vex_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem)
{
    uint8_t *end = end_of(as), *at = add_memory(as, end, reg, mem);
    at = add_vex(at, op, reg, high(mem.index), high(mem.base), second);
    at = add_segment(as, at, mem);
    if (mem.target && as->in_cold)
        move_target(at, end, end);
    finish(as, at);
}

void x86_sse(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm)
{
    if (x86_has(as, X86_AVX))
        x86_vex(as, op, reg, second, rm);
    else
        x86_rr(as, op, reg, rm);
}

void x86_sse_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem)
{
    if (x86_has(as, X86_AVX))
        x86_vex_m(as, op, reg, second, mem);
    else
        x86_rm(as, op, reg, mem);
}

void x86_bytes(struct jit_assembler *as, const char *bytes, unsigned size)
{
    jit_put_bytes(as, bytes, size);
}

void x86_mov_state(struct jit_assembler *as, unsigned op, unsigned reg, int32_t offset)
{
    bool near = offset == (int8_t)offset;
    unsigned rex = 0x48 | (reg >> 1 & 4), modrm = (near ? 0x40 : 0x80) | (reg & 7) << 3 | RBP;
    put(as, rex | op << 8 | modrm << 16 | (uint64_t)(uint32_t)offset << 24, near ? 4 : 7);
}

static void put_mov_wide(struct jit_assembler *as, unsigned reg, int64_t value)
{
    uint8_t *at = add_number(end_of(as), (int32_t)(value >> 32), 4);
    at = add_number(at, (int32_t)value, 4);
    at = add(at, 0xb8 | (reg & 7));
    finish(as, add(at, 0x48 | reg >> 3));
}

void x86_mov_imm(struct jit_assembler *as, unsigned reg, int64_t value)
{
    uint64_t low = (uint32_t)value, number = reg & 7;
    if (value >= 0 && value <= UINT32_MAX) {
        uint64_t plain = 0xb8 | number | low << 8;
        if (reg >= R8)
            put(as, 0x41 | plain << 8, 6);
        else
            put(as, plain, 5);
    } else if (x86_fits32(value)) {
        put(as, 0x48 | reg >> 3 | 0xc7 << 8 | (0xc0 | number) << 16 | low << 24, 7);
    } else {
        put_mov_wide(as, reg, value);
    }
}

/* ---- Jumps ---- */

/* The lowest byte comes first. */
enum { JMP = 0xe9, CALL = 0xe8, JCC = 0x800f };

/* The opcode has one or two bytes. */
static __attribute__((noinline)) void jump(struct jit_assembler *as, unsigned opcode, const void *target)
{
    unsigned bytes = opcode > 0xff ? 2 : 1, size = bytes + 4;
    uint32_t displacement =
        (uint32_t)((const uint8_t *)target - jit_here(as) - (as->in_cold ? (ptrdiff_t)size : 0));
    put(as, opcode | (uint64_t)displacement << 8 * bytes, size);
}

void x86_jmp(struct jit_assembler *as, const void *target)
{
    jump(as, JMP, target);
}

void x86_jcc(struct jit_assembler *as, enum x86_condition condition, const void *target)
{
    jump(as, JCC | condition << 8, target);
}

void x86_call(struct jit_assembler *as, const void *target)
{
    jump(as, CALL, target);
}

void x86_cold_link(struct jit_assembler *as, uint32_t number)
{
    enum { MOV_EAX = 0xb8, HALF = 1 + sizeof(number), SIZE = 2 * HALF };
    const uint8_t *end = as->cold + as->cold_exec + SIZE;
    const uint64_t mov = MOV_EAX | (uint64_t)number << 8;
    const uint64_t jmp = JMP | (uint64_t)(uint32_t)(as->thunks->link - end) << 8;
    if (!take_room(as, SIZE))
        return;
    memcpy(as->cold, &mov, sizeof(mov));
    memcpy(as->cold + HALF, &jmp, sizeof(jmp));
    as->cold += SIZE;
}

/* An access of 4 bytes within 8 aligned ones is atomic on every x86-64. */
static uint8_t *jump_site(struct jit_assembler *as, unsigned opcode, const void *target)
{
    const unsigned field = 4, unit = 8;
    unsigned before = opcode > 0xff ? 2 : 1;
    uintptr_t at = (uintptr_t)jit_here(as) + (as->in_cold ? before : (uintptr_t)0 - field);
    unsigned over =
        at % unit > unit - field ? (unsigned)(as->in_cold ? unit - at % unit : at % unit - field) : 0;
    if (over)
        x86_nop(as, over);
    jump(as, opcode, target);
    return (uint8_t *)jit_here(as) + (as->in_cold ? -(int)field : (int)before);
}

uint8_t *x86_jmp_site(struct jit_assembler *as, const void *target)
{
    return jump_site(as, JMP, target);
}

uint8_t *x86_jcc_site(struct jit_assembler *as, enum x86_condition condition, const void *target)
{
    return jump_site(as, JCC | condition << 8, target);
}

uint8_t *x86_call_site(struct jit_assembler *as, const void *target)
{
    return jump_site(as, CALL, target);
}

void x86_nop(struct jit_assembler *as, unsigned size)
{
    static const char *const nops[] = {"", "\x90", "\x66\x90", "\x0f\x1f\x00"};
    x86_bytes(as, nops[size], size);
}
