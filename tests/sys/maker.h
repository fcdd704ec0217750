/* How cases are made. Private to cases.c, streams.c and aia.c.
 *
 * Threads, lifetime: plain data. */
#ifndef SYS_MAKER_H
#define SYS_MAKER_H

#include "../diff/rng.h"
#include "cases.h"

enum { A0 = 10, A1 = 11 };

struct maker {
    struct rng rng;
    const struct case_limits *limits;
    struct sys_case *cases;
    unsigned count;
};

static inline uint32_t encode(struct rv_insn insn)
{
    insn.row = insn.op;
    return rv_encode(&insn);
}

#define INSN(name, ...) encode((struct rv_insn){.op = RV_##name, __VA_ARGS__})
#define PICK(m, array)  ((array)[rng_below(&(m)->rng, ARRAY_SIZE(array))])

/* Borrows nothing; the case may be changed until the next one is added. */
struct sys_case *add(struct maker *m, const struct sys_case *c);

/* Set-up, in machine mode without tricks. */
void write_csr(struct maker *m, unsigned number, uint64_t value);
void write_memory(struct maker *m, uint64_t address, uint64_t value);

/* A CSR, with what may be said about its values. */
struct csr_choice {
    uint16_t number;
    uint8_t weight;
    bool varies;         /* from run to run: it is not read into a0 */
    uint64_t never;      /* bits that are not to be set, or the driver would not survive */
    uint64_t typical[4]; /* values that mean something; 0: none */
};

unsigned random_mode(struct maker *m);

/* A CSR instruction on one of these, or on one of all that there is without AIA. */
void add_one_csr(struct maker *m, const struct csr_choice *choices, size_t count);
void add_csr(struct maker *m);

/* streams.c */
void make_streams(struct maker *m);

/* aia.c */
void make_aia(struct maker *m);

#endif
