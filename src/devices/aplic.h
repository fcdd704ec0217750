/* RISC-V Advanced Platform-Level Interrupt Controller: wires come in, and leave as wires to harts (direct delivery) or as
 * messages to their IMSICs. Two interrupt domains: the root, of machine level, and its child, of supervisor level, which
 * gets the sources that the root delegates. Which way a domain delivers is fixed, as are the addresses of messages; all
 * registers are little-endian.
 *
 * Threads: aplic_line()'s lines are set from any thread; one lock. Lifetime: aplic_init() ... aplic_release().
 * Source: The RISC-V Advanced Interrupt Architecture, version 1.0, chapter "Advanced Platform-Level Interrupt Controller
 * (APLIC)". */
#ifndef DEVICES_APLIC_H
#define DEVICES_APLIC_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "bus/state.h"

enum {
    APLIC_SOURCES = 96, /* 0 is none, so 95 devices */
    APLIC_WORDS = APLIC_SOURCES / 32,
    APLIC_MAX_HARTS = 64,
};

enum aplic_level { APLIC_MACHINE, APLIC_SUPERVISOR, APLIC_DOMAINS };

/* Bytes of a domain's registers, for that many harts. */
#define APLIC_LENGTH(harts) (0x4000 + ((uint64_t)(harts)*32 + 0xfff) / 0x1000 * 0x1000)

/* Where a domain's interrupts go: the lines, or, if the controller sends messages, to `base` + 4096 × hart. */
struct aplic_outputs {
    struct irq_line lines[APLIC_MAX_HARTS];
    struct msi_target msi;
    uint64_t base;
};

/* "Interrupt delivery control" of a hart. */
struct aplic_idc {
    struct irq_line line;
    bool signalled; /* what the line says */
    bool delivery, force;
    uint8_t threshold; /* 0: none */
};

struct aplic_domain {
    struct bus_region region; /* for the board to map */
    struct aplic *aplic;
    struct msi_target msi;
    uint64_t messages;                     /* gpa of the first hart's */
    uint32_t message;                      /* genmsi */
    uint32_t mode[APLIC_SOURCES];          /* sourcecfg */
    uint32_t target[APLIC_SOURCES];        /* of active sources; else 0 */
    uint32_t pending[APLIC_WORDS];         /* likewise */
    uint32_t enabled[APLIC_WORDS];         /* likewise */
    bool enable;                           /* domaincfg.IE */
    struct aplic_idc idc[APLIC_MAX_HARTS]; /* direct delivery */
};

struct aplic {
    pthread_mutex_t lock;
    unsigned harts;
    bool sends;                  /* delivery by messages, in both domains */
    uint32_t level[APLIC_WORDS]; /* what the devices' lines say */
    struct aplic_domain domains[APLIC_DOMAINS];
};

/* For harts 0 to harts - 1, at most APLIC_MAX_HARTS. Copies the outputs. Nothing is active. */
void aplic_init(struct aplic *aplic, unsigned harts, bool sends,
                const struct aplic_outputs outputs[APLIC_DOMAINS]);
void aplic_release(struct aplic *aplic);

/* Gives all sources to the supervisor's domain, as firmware does. */
void aplic_delegate(struct aplic *aplic);

/* The line of a source, 1 to APLIC_SOURCES - 1, for the board to hand to a device. */
struct irq_line aplic_line(struct aplic *aplic, unsigned source);

extern const struct state_table aplic_state, aplic_domain_state, aplic_idc_state;

#endif
