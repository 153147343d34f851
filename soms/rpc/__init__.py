"""gRPC: generated stubs, the servicers, and the server, client and error table under them. The one door to grpclib and betterproto2."""
