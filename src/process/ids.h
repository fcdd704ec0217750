/* The user and group ids that a guest has where the host cannot give them (config->fake_ids), and their way across execve().
 * Threads: any, save ids_inherit(), which comes before the guest runs. Source: credentials(7), execve(2). */
#ifndef PROCESS_IDS_H
#define PROCESS_IDS_H

#include "process/process.h"

/* Room for the text of all ids: eight, a count, and the groups. */
#define IDS_TEXT ((8 + 1 + 64) * 12)

/* Writes the ids that the program in the descriptor `program` will have when this process executes it, for a monitor that
 * is started again. For config->fake_ids alone. */
void ids_print(struct process *p, int program, char text[IDS_TEXT]);

/* Takes over what ids_print() has written. 0 or -EINVAL. */
int ids_inherit(struct process *p, const char *text);

/* What the auxiliary vector says: real and effective user and group. */
struct aux_ids {
    uint32_t uid, euid, gid, egid;
};
struct aux_ids ids_at_start(const struct process *p);

#endif
