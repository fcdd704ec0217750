/* The `cpu` property: a list of extensions in words, as a bit set.
 * Threads: any. Source: The RISC-V Instruction Set Manual, volume I, chapter "ISA Extension Naming Conventions". */
#ifndef VM_CPU_H
#define VM_CPU_H

#include <guise.h>
#include <stdint.h>

/* "max", "rv64gc", "rv64imac_zba", followed by changes: ",+zba", ",zba", ",zba=on", ",-zba", ",zba=off".
 * Without a base the changes apply to "max". Stores a bit set of enum rv_ext; an extension brings what it needs, and
 * one that is taken away takes with it what needs it. */
int cpu_parse(const char *text, uint64_t *extensions, struct guise_error *err);

#endif
