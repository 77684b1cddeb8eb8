/**
 * The files that a scripted Go keeper writes, against those of the recorded one: the same lines for
 * the same document, whatever their order (Go's is random).
 */
import { describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Glob } from "bun"
import { unmarshal } from "./codec.ts"
import { type GoData, GoDBState, readGo } from "./documents.ts"
import { confText, hbaText, parameters, recovery } from "./render.ts"

const golden = `${import.meta.dir}/../golden`
const read = (file: string): string => readFileSync(`${golden}/${file}`, "utf8")
const documents: readonly GoData[] = [...new Glob("store/**/*.json").scanSync(golden)]
  .filter((file) => !/info\//.test(file))
  .toSorted()
  .flatMap((file) => {
    const data = readGo(read(file))
    return data === null ? [] : [data]
  })
const lines = (text: string): string[] => text.split("\n").filter(Boolean).toSorted()
const valueOf = (conf: string, name: string): string =>
  new RegExp(`^${name} = '(.*)'$`, "m").exec(conf)?.[1] ?? ""

/** Of `sync-guard` and `rewound` no document was kept. */
describe("the scripted keeper writes the files that were recorded for", () => {
  for (const directory of [
    "master",
    "standby",
    "master-custom",
    "sync-master",
    "sync-master-two",
    "sync-standby",
    "existing",
    "pitr",
    "standby-cluster",
    "standby-cluster-promoted",
  ]) {
    const state = unmarshal(GoDBState, read(`disk/${directory}/dbstate`))
    const conf = read(`disk/${directory}/postgresql.conf`)
    const hba = read(`disk/${directory}/pg_hba.conf`)
    const settings = {
      uid: "",
      address: valueOf(conf, "listen_addresses"),
      port: valueOf(conf, "port"),
      superuser: { name: "postgres", password: "superpw" },
      replication: { name: "repluser", password: "replpw" },
    }
    const fitting = documents.filter(
      (data) => data.dbs.get(state.UID)?.generation === state.Generation,
    )
    test(`as recorded: ${directory}`, () => {
      const wrote = fitting.map((data) => {
        const db = data.dbs.get(state.UID)
        if (db === undefined) throw new Error("no db")
        const recover = recovery(data, db, settings)
        const made = confText(parameters(db, state.InitPGParameters, settings), recover)
        return {
          conf: lines(made),
          hba: lines(hbaText(data, db, settings, false)),
        }
      })
      const wanted = { conf: lines(conf), hba: lines(hba) }
      if (!wrote.some((each) => Bun.deepEquals(each, wanted))) expect(wrote[0]).toEqual(wanted)
    })
  }

  test("sync-guard, as far as it is the guard's: only the internal rules", () => {
    const [data] = documents.filter(({ dbs }) => dbs.size > 0)
    const [db] = data?.dbs.values() ?? []
    if (data === undefined || db === undefined) throw new Error("no document with a DB")
    const account = { name: "repluser", password: "" }
    const superuser = { name: "postgres", password: "" }
    const settings = { uid: "", address: "", port: "", superuser, replication: account }
    expect(lines(hbaText(data, db, settings, true))).toEqual(
      lines(read("disk/sync-guard/pg_hba.conf")),
    )
  })
})
