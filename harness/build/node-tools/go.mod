module vcluster.test/build/node-tools

go 1.24.0
