/* A memory barrier on every running thread of this process, made by one of them: the others need none of their own.
 * Source: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED. */
#ifndef HOST_BARRIER_H
#define HOST_BARRIER_H

/* Once before the first use; may be repeated. 0 or -errno. */
int host_barrier_register(void);

/* 0, or -errno where the host cannot do it. */
int host_barrier_all(void);

#endif
