%% For `erl -eval` under RABBITMQ_NODE_ONLY: boots RabbitMQ, then answers what
%% is asked on standard input. Expressions, not a module.

%% RabbitMQ loads about a thousand modules at its start and looks for each of
%% them in the folders of all plugins first. No plugin is used here, so its own
%% folder goes to the end of the path, and RABBITMQ_PLUGINS_DIR holds nothing
%% but RabbitMQ itself, for its configuration schema. Halves the CPU of a start.
{Bundled, Otp} = lists:partition(
    fun(Folder) -> string:find(Folder, "/plugins/") =/= nomatch end,
    code:get_path() -- ["."]),
{Plugins, Libraries} = lists:partition(
    fun(Folder) -> string:find(Folder, "/plugins/rabbitmq_") =/= nomatch end,
    Bundled),
true = code:set_path(Otp ++ Libraries ++ Plugins),
Rabbit = code:lib_dir(rabbit),
file:make_symlink(Rabbit, filename:join(os:getenv("RABBITMQ_PLUGINS_DIR"), filename:basename(Rabbit))),

rabbit:boot(),

spawn(fun() ->
    Answer = fun(Id, Kind, Value) ->
        %% The line before may have no end: RabbitMQ sets the terminal's title.
        io:format("~n~s ~s ~s ~0p~n", ["testkit-answer", Id, Kind, Value])
    end,
    Answer("0", "ok", rabbit:await_startup(node(), false, 300000)),
    Loop = fun Again() ->
        case io:get_line("") of
            Line when is_list(Line) ->
                [Id, Code] = string:split(string:trim(Line), " "),
                try
                    {ok, Tokens, _} = erl_scan:string(Code),
                    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
                    {value, Value, _} = erl_eval:exprs(Expressions, []),
                    Answer(Id, "ok", Value)
                catch
                    _:Reason -> Answer(Id, "error", Reason)
                end,
                Again();
            %% End of input: the owner is gone.
            _ -> erlang:halt(0, [{flush, false}])
        end
    end,
    Loop()
end).
