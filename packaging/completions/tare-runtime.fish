# SPDX-License-Identifier: Apache-2.0
# fish completion of tare-runtime(8): everything comes from its own help.

function __tare_runtime_commands
    tare-runtime --help 2>/dev/null | string match -rg '^  ([a-z]+) '
end

function __tare_runtime_command
    set -l commands (__tare_runtime_commands)
    for word in (commandline -opc)[2..]
        if contains -- $word $commands
            echo $word
            return
        end
    end
end

function __tare_runtime_complete
    set -l command (__tare_runtime_command)
    if string match -q -- '-*' (commandline -ct)
        tare-runtime $command --help 2>/dev/null | string match -rg '^  (?:-.,|   ) (--[a-z0-9-]+)'
    else if test -z "$command"
        __tare_runtime_commands
    else if not contains -- $command create restore run
        tare-runtime list --quiet 2>/dev/null
    end
end

complete -c tare-runtime -f -a '(__tare_runtime_complete)'
for option in bundle root cwd image-path work-path parent-path
    complete -c tare-runtime -l $option -xa '(__fish_complete_directories)'
end
for option in pid-file log process resources console-socket pidfd-socket
    complete -c tare-runtime -l $option -rF
end
for option in format
    complete -c tare-runtime -l $option -xa 'table json'
end
