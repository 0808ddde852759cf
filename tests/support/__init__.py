# SPDX-License-Identifier: Apache-2.0
"""What more than one folder of tests uses: private namespaces, leaks, programs of the build."""
