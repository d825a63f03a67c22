%% For `erl -eval`: writes certificates and keys into the current folder.
%% Expressions, not a module.
%% RSA, as Erlang signs test certificates with ECDSA in an encoding that rustls
%% refuses, and not SHA-1, its default here.
Strong = [{key, {rsa, 2048, 65537}}, {digest, sha256}],
SubjectAltName = {'Extension', {2, 5, 29, 17}, false,
    [{dNSName, "localhost"}, {iPAddress, <<127, 0, 0, 1>>}]},
Chain = fun(Peer) -> #{root => Strong, intermediates => [], peer => Strong ++ Peer} end,
#{server_config := Server, client_config := Client} = public_key:pkix_test_data(#{
    server_chain => Chain([{extensions, [SubjectAltName]}]),
    client_chain => Chain([])}),
Write = fun(Name, Entries) ->
    ok = file:write_file(Name, public_key:pem_encode(Entries))
end,
Certificate = fun(Der) -> {'Certificate', Der, not_encrypted} end,
[begin
    {KeyType, KeyDer} = proplists:get_value(key, Own),
    PrivateKey = public_key:der_decode(KeyType, KeyDer),
    Write(Name ++ ".pem", [Certificate(proplists:get_value(cert, Own))]),
    Write(Name ++ "-key.pem", [public_key:pem_entry_encode('PrivateKeyInfo', PrivateKey)]),
    %% Each side is given the authority of the other one to trust.
    Authorities = lists:usort(proplists:get_value(cacerts, Other)),
    Write(Name ++ "-authority.pem", [Certificate(Der) || Der <- Authorities])
 end || {Name, Own, Other} <- [{"server", Server, Client}, {"client", Client, Server}]],
halt().
