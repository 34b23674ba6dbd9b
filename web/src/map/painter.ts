// Draws all markers in one call: the motion buffer goes to the GPU as it is, the vertex shader glides and turns
// each marker, the fragment shader reads its picture. The CPU does nothing per asset and frame.

import { X_UNITS, Y_UNITS } from '../live/mercator';
import { type Motion, RECORD_BYTES } from '../live/motion';
import type { Palette } from '../theme';
import { COLUMNS, paintSprites, RING_ROW, ROWS } from './sprites';

const VERTEX = `#version 300 es
precision highp float;
precision highp int;
in uvec4 a_track;   // from x, from y, to x, to y
in uvec2 a_time;    // start ms, duration ms
in ivec2 a_heading; // from, to (1/64 degree)
in uvec4 a_look;    // kind, freshness, flags
uniform mat4 u_matrix; // mercator units from the centre -> clip
uniform uvec2 u_centre;
uniform uint u_now;
uniform float u_size;
uniform float u_bearing;
uniform int u_cell;    // >= 0: this cell instead of the asset's own
flat out vec2 v_cell;
flat out vec2 v_turn;
void main() {
  bool shown = (a_look.z & 5u) == 5u;
  bool headed = (a_look.z & 2u) != 0u;
  float t = a_time.y == 0u ? 1.0 : clamp(float(int(u_now - a_time.x)) / float(a_time.y), 0.0, 1.0);
  ivec2 way = ivec2(a_track.zw - a_track.xy);
  ivec2 place = ivec2(a_track.xy - u_centre) + ivec2(round(vec2(way) * t));
  gl_Position = shown ? u_matrix * vec4(vec2(place), 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = u_size;
  vec2 heading = vec2(a_heading) / 64.0;
  float turned = heading.x + (mod(heading.y - heading.x + 540.0, 360.0) - 180.0) * min(t * 3.0, 1.0);
  float angle = headed && u_cell < 0 ? radians(turned) - u_bearing : 0.0;
  v_turn = vec2(cos(angle), sin(angle));
  v_cell = u_cell >= 0 ? vec2(u_cell % ${COLUMNS}, u_cell / ${COLUMNS}) : vec2(a_look.y, a_look.x * 2u + (headed ? 1u : 0u));
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D u_sprites;
flat in vec2 v_cell;
flat in vec2 v_turn;
out vec4 colour;
void main() {
  vec2 p = gl_PointCoord - 0.5;
  vec2 q = vec2(p.x * v_turn.x + p.y * v_turn.y, p.y * v_turn.x - p.x * v_turn.y);
  if (max(abs(q.x), abs(q.y)) > 0.5) discard;
  colour = texture(u_sprites, (v_cell + q + 0.5) / vec2(${COLUMNS}.0, ${ROWS}.0));
  if (colour.a < 0.01) discard;
}`;

export interface View {
  /** Mercator 0..1 -> clip, double precision, column-major. */
  matrix: ArrayLike<number>;
  centreX: number;
  centreY: number;
  bearing: number;
  zoom: number;
  pixelRatio: number;
}

const SIZES: [zoom: number, px: number][] = [
  [3, 8],
  [9, 10],
  [12, 15],
  [14, 23],
  [16, 30],
  [19, 38],
];

/** Width of a marker's cell in CSS pixels; the body fills most of it. */
export function markerSize(zoom: number): number {
  let [fromZoom, fromSize] = SIZES[0]!;
  for (const [toZoom, toSize] of SIZES) {
    if (zoom < toZoom) {
      const t = Math.max(0, (zoom - fromZoom) / (toZoom - fromZoom || 1));
      return fromSize + (toSize - fromSize) * t;
    }
    [fromZoom, fromSize] = [toZoom, toSize];
  }
  return fromSize;
}

/** `matrix` moved to the centre and scaled to mercator units: small numbers only, so 32-bit floats are enough. */
export function centredMatrix(view: View): Float32Array {
  const m = view.matrix;
  const x = view.centreX / X_UNITS;
  const y = view.centreY / Y_UNITS;
  const out = new Float32Array(16);
  for (let row = 0; row < 4; row++) {
    out[row] = m[row]! / X_UNITS;
    out[4 + row] = m[4 + row]! / Y_UNITS;
    out[8 + row] = m[8 + row]!;
    out[12 + row] = m[row]! * x + m[4 + row]! * y + m[12 + row]!;
  }
  return out;
}

type Uniform = 'u_matrix' | 'u_centre' | 'u_now' | 'u_size' | 'u_bearing' | 'u_cell' | 'u_sprites';

export class MarkerPainter {
  private program: WebGLProgram;
  private array: WebGLVertexArrayObject;
  private buffer: WebGLBuffer;
  private texture: WebGLTexture;
  private uniforms: Record<Uniform, WebGLUniformLocation | null>;
  private held = 0;

  constructor(private gl: WebGL2RenderingContext) {
    this.program = link(gl);
    const names: Uniform[] = ['u_matrix', 'u_centre', 'u_now', 'u_size', 'u_bearing', 'u_cell', 'u_sprites'];
    this.uniforms = Object.fromEntries(
      names.map((name) => [name, gl.getUniformLocation(this.program, name)]),
    ) as Record<Uniform, WebGLUniformLocation | null>;
    this.array = gl.createVertexArray()!;
    this.buffer = gl.createBuffer()!;
    this.texture = gl.createTexture()!;
    this.describe();
  }

  setPalette(palette: Palette): void {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, paintSprites(palette));
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAX_LEVEL, 2);
  }

  draw(motion: Motion, view: View, now: number, selected: number | undefined, hovered: number | undefined): void {
    const { gl, uniforms } = this;
    this.upload(motion);
    if (motion.count === 0) return;
    const size = markerSize(view.zoom) * view.pixelRatio;
    // biome-ignore lint/correctness/useHookAtTopLevel: a WebGL call, not a React hook
    gl.useProgram(this.program);
    gl.bindVertexArray(this.array);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.disable(gl.CULL_FACE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.uniform1i(uniforms.u_sprites, 0);
    gl.uniformMatrix4fv(uniforms.u_matrix, false, centredMatrix(view));
    gl.uniform2ui(uniforms.u_centre, view.centreX, view.centreY);
    gl.uniform1ui(uniforms.u_now, now);
    gl.uniform1f(uniforms.u_bearing, view.bearing);
    this.points(size, -1, 0, motion.count);
    if (hovered !== undefined && hovered !== selected) this.points(size * 1.35, RING_ROW * COLUMNS + 1, hovered, 1);
    if (selected === undefined) return;
    const big = Math.max(size * 1.25, 26 * view.pixelRatio);
    this.points(big * 1.55, RING_ROW * COLUMNS, selected, 1);
    this.points(big, -1, selected, 1);
  }

  destroy(): void {
    const { gl } = this;
    gl.deleteProgram(this.program);
    gl.deleteBuffer(this.buffer);
    gl.deleteTexture(this.texture);
    gl.deleteVertexArray(this.array);
  }

  private points(size: number, cell: number, first: number, count: number): void {
    const { gl, uniforms } = this;
    gl.uniform1f(uniforms.u_size, size);
    gl.uniform1i(uniforms.u_cell, cell);
    gl.drawArrays(gl.POINTS, first, count);
  }

  private upload(motion: Motion): void {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    if (this.held !== motion.bytes.byteLength) {
      gl.bufferData(gl.ARRAY_BUFFER, motion.bytes, gl.DYNAMIC_DRAW);
      this.held = motion.bytes.byteLength;
    } else if (motion.dirty[1] > 0) {
      const [first, past] = motion.dirty;
      const at = first * RECORD_BYTES;
      gl.bufferSubData(gl.ARRAY_BUFFER, at, motion.bytes, at, (past - first) * RECORD_BYTES);
    }
    motion.dirty = [0, 0];
  }

  private describe(): void {
    const { gl } = this;
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    const attribute = (name: string, size: number, type: number, offset: number) => {
      const at = gl.getAttribLocation(this.program, name);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribIPointer(at, size, type, RECORD_BYTES, offset);
    };
    attribute('a_track', 4, gl.UNSIGNED_INT, 0);
    attribute('a_time', 2, gl.UNSIGNED_INT, 16);
    attribute('a_heading', 2, gl.SHORT, 24);
    attribute('a_look', 4, gl.UNSIGNED_BYTE, 28);
    gl.bindVertexArray(null);
  }
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(type)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`marker shader: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}
