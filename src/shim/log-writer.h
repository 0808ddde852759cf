/* SPDX-License-Identifier: Apache-2.0 */
/* log-writer.h - the process that moves the output of a pod's containers to their log files.
 *
 * A forked child of the shim, so that a log disk that hangs stalls output and nothing else. It
 * lives on when the shim dies, until every stream has ended. */
#ifndef TARE_SHIM_LOG_WRITER_H
#define TARE_SHIM_LOG_WRITER_H

/* sock: the end of a SOCK_SEQPACKET pair; messages in log-wire-internal.h. */
_Noreturn void log_writer_run(int sock);

#endif
