// Draws a face. Each of the 52 coefficients has a visible effect. "Left" is the face's own left, on the viewer's right.
// Lengths are in half widths of the head; the origin is between the eyes.
"use strict";

const SKIN = "#e8b894", SHADE = "#c58a66", LINE = "#6b4630", HAIR = "#75513c", STRAND = "#96705a", BROW = "#5a3c2c";
const LIP = "#b9524f", MOUTH = "#4d1720", TEETH = "#f6f1e7", GAP = "#cfc5b4", SHIRT = "#5b7390";
const SIDES = [["Right", -1], ["Left", 1]];

function drawFace(canvas, weights) {
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  const size = Math.max(1, Math.round(width * ratio));
  if (canvas.width !== size) canvas.width = canvas.height = size;
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, size, size);
  const unit = size / 2.75;
  pen.setTransform(unit, 0, 0, unit, size / 2, size * 0.44);
  pen.lineCap = pen.lineJoin = "round";
  const c = (name) => Math.min(1.2, Math.max(-0.2, weights[name] || 0));
  const jaw = {
    x: 0.16 * (c("jawLeft") - c("jawRight")),
    open: 0.3 * c("jawOpen"),
    forward: c("jawForward"),
  };
  drawNeck(pen, jaw);
  drawHead(pen, c, jaw);
  for (const [side, sign] of SIDES) {
    drawCheek(pen, c, side, sign);
    drawEye(pen, c, side, sign);
    drawBrow(pen, c, side, sign);
  }
  drawForehead(pen, c);
  drawNose(pen, c);
  drawMouth(pen, c, jaw);
}

function stroke(pen, colour, width, alpha = 1) {
  pen.globalAlpha = Math.max(0, Math.min(1, alpha));
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.globalAlpha = 1;
}

function fill(pen, colour, alpha = 1) {
  pen.globalAlpha = Math.max(0, Math.min(1, alpha));
  pen.fillStyle = colour;
  pen.fill();
  pen.globalAlpha = 1;
}

function ellipse(pen, x, y, rx, ry) {
  pen.beginPath();
  pen.ellipse(x, y, Math.max(0.001, rx), Math.max(0.001, ry), 0, 0, 2 * Math.PI);
}

function line(pen, points) {
  pen.beginPath();
  pen.moveTo(points[0], points[1]);
  if (points.length === 6) pen.quadraticCurveTo(...points.slice(2));
  else pen.lineTo(points[2], points[3]);
}

function drawNeck(pen, jaw) {
  pen.beginPath();
  pen.moveTo(-0.44, 0.6);
  pen.bezierCurveTo(-0.4, 1.1, -0.42, 1.3, -0.56, 1.6);
  pen.lineTo(0.56, 1.6);
  pen.bezierCurveTo(0.42, 1.3, 0.4, 1.1, 0.44, 0.6);
  pen.save();
  fill(pen, SKIN);
  pen.clip();
  ellipse(pen, 0.8 * jaw.x, 0.98 + jaw.open, 0.6, 0.3);  // Shadow of the chin.
  fill(pen, SHADE, 0.75);
  pen.restore();
  pen.beginPath();
  pen.moveTo(-1.4, 1.7);
  pen.bezierCurveTo(-1.1, 1.4, -0.75, 1.4, -0.48, 1.35);
  pen.bezierCurveTo(-0.3, 1.56, 0.3, 1.56, 0.48, 1.35);
  pen.bezierCurveTo(0.75, 1.4, 1.1, 1.4, 1.4, 1.7);
  fill(pen, SHIRT);
}

function drawHead(pen, c, jaw) {
  const puff = 0.17 * c("cheekPuff"), chin = 1.1 + jaw.open + 0.05 * jaw.forward;
  for (const sign of [-1, 1]) {
    ellipse(pen, 0.87 * sign, 0.05, 0.11, 0.2);
    fill(pen, SHADE);
    stroke(pen, LINE, 0.016);
  }
  // At each corner of the jaw, the curve above and the curve below have the same direction.
  const width = 0.34 + 0.08 * jaw.forward, long = 1 + 1.6 * jaw.open;
  pen.beginPath();
  pen.moveTo(-0.84, -0.3);
  pen.bezierCurveTo(-0.9, -1.25, 0.9, -1.25, 0.84, -0.3);
  pen.bezierCurveTo(0.82, 0.02, 0.82 + puff, 0.3, 0.7 + puff + 0.2 * jaw.x, 0.58);
  pen.bezierCurveTo(0.7 + puff + 0.2 * jaw.x - 0.1 * long, 0.58 + 0.233 * long, jaw.x + width, chin, jaw.x, chin);
  pen.bezierCurveTo(jaw.x - width, chin, -0.7 - puff + 0.2 * jaw.x + 0.1 * long, 0.58 + 0.233 * long, -0.7 - puff + 0.2 * jaw.x, 0.58);
  pen.bezierCurveTo(-0.82 - puff, 0.3, -0.82, 0.02, -0.84, -0.3);
  fill(pen, SKIN);
  stroke(pen, LINE, 0.02);
  pen.beginPath();
  pen.moveTo(-0.87, -0.12);
  pen.bezierCurveTo(-1.08, -1.48, 1.08, -1.48, 0.87, -0.12);
  pen.bezierCurveTo(0.84, -0.7, 0.4, -0.94, -0.12, -0.86);
  pen.bezierCurveTo(-0.5, -0.82, -0.8, -0.62, -0.87, -0.12);
  fill(pen, HAIR);
  stroke(pen, STRAND, 0.018);
  // Chin: larger and lighter for jawForward, wrinkled for mouthShrugLower.
  ellipse(pen, jaw.x, chin - 0.17, 0.16 + 0.08 * jaw.forward, 0.1 + 0.05 * jaw.forward);
  fill(pen, "#fff", 0.1 + 0.2 * jaw.forward);
  line(pen, [jaw.x - 0.12, chin - 0.27, jaw.x, chin - 0.32 - 0.05 * c("mouthShrugLower"), jaw.x + 0.12, chin - 0.27]);
  stroke(pen, SHADE, 0.02, 0.4 + 0.6 * c("mouthShrugLower"));
}

function drawCheek(pen, c, side, sign) {
  const raised = c(`cheekSquint${side}`), puff = c("cheekPuff");
  ellipse(pen, 0.55 * sign, 0.33 - 0.1 * raised, 0.17 + 0.08 * puff, 0.12 + 0.08 * puff + 0.02 * raised);
  fill(pen, "#e0806a", 0.18 + 0.25 * raised + 0.2 * puff);
  line(pen, [0.22 * sign, 0.11 - 0.02 * raised, 0.42 * sign, 0.2 - 0.06 * raised, 0.62 * sign, 0.08 - 0.04 * raised]);
  stroke(pen, SHADE, 0.022, 0.9 * raised);
}

function drawEye(pen, c, side, sign) {
  const x = 0.37 * sign, y = -0.12, reach = 0.2;
  const blink = Math.min(1, Math.max(0, c(`eyeBlink${side}`))), wide = c(`eyeWide${side}`), squint = c(`eyeSquint${side}`);
  const angry = Math.max(0, c(`browDown${side}`));
  const down = c(`eyeLookDown${side}`) - c(`eyeLookUp${side}`);
  const out = c(`eyeLookOut${side}`) - c(`eyeLookIn${side}`);
  const lower = 0.085 - 0.075 * squint - 0.02 * blink;
  const open = -0.125 * (1 + 0.55 * wide) + 0.02 * squint + 0.02 * Math.max(0, down) + 0.03 * angry;
  const upper = open + (lower - open) * blink;
  // A lowered brow covers the inner part of the eye.
  const lean = x - 0.07 * angry * (1 - blink) * -sign;
  pen.beginPath();
  pen.moveTo(x - reach, y);
  pen.quadraticCurveTo(x, y + 2 * open - 0.06, x + reach, y);
  pen.quadraticCurveTo(x, y + 2 * lower, x - reach, y);
  fill(pen, SHADE, 0.35 + 0.45 * blink);
  pen.beginPath();
  pen.moveTo(x - reach, y);
  pen.quadraticCurveTo(lean, y + 2 * upper, x + reach, y);
  pen.quadraticCurveTo(x, y + 2 * lower, x - reach, y);
  pen.save();
  fill(pen, "#fff");
  pen.clip();
  const gaze = [x + 0.09 * out * sign, y - 0.01 + 0.075 * down];
  ellipse(pen, ...gaze, 0.095, 0.095);
  fill(pen, "#3f6f8f");
  ellipse(pen, ...gaze, 0.045, 0.045);
  fill(pen, "#111");
  ellipse(pen, gaze[0] + 0.03, gaze[1] - 0.035, 0.018, 0.018);
  fill(pen, "#fff");
  pen.restore();
  line(pen, [x - reach - 0.01, y, lean, y + 2 * upper, x + reach + 0.01, y]);
  stroke(pen, LINE, 0.038);
  line(pen, [x - reach, y, x, y + 2 * lower, x + reach, y]);
  stroke(pen, LINE, 0.014);
  line(pen, [x - reach + 0.02, y - 0.07, x, y + 2 * open - 0.09 - 0.05 * wide, x + reach - 0.02, y - 0.07]);
  stroke(pen, SHADE, 0.016, 0.9 - 0.6 * angry);
  line(pen, [x - 0.15, y + lower + 0.055, x, y + lower + 0.1, x + 0.15, y + lower + 0.055]);
  stroke(pen, SHADE, 0.02, squint);
}

function drawBrow(pen, c, side, sign) {
  const down = c(`browDown${side}`), inner = c("browInnerUp"), outer = c(`browOuterUp${side}`);
  const ends = [
    [0.15 - 0.05 * down, -0.4 - 0.15 * inner + 0.19 * down],
    [0.62, -0.38 - 0.17 * outer + 0.04 * down],
  ];
  const middle = [0.4, (ends[0][1] + ends[1][1]) / 2 - 0.11 - 0.04 * outer + 0.02 * down];
  line(pen, [ends[0][0] * sign, ends[0][1], middle[0] * sign, middle[1], ends[1][0] * sign, ends[1][1]]);
  stroke(pen, BROW, 0.065 + 0.015 * down);
  line(pen, [0.05 * sign, -0.5, 0.085 * sign, -0.37, 0.05 * sign, -0.24]);
  stroke(pen, LINE, 0.026, 0.85 * down);
  line(pen, [0.35 * sign, -0.66, 0.5 * sign, -0.7, 0.62 * sign, -0.62]);
  stroke(pen, SHADE, 0.02, 0.8 * outer);
}

function drawForehead(pen, c) {
  for (const y of [-0.68, -0.6]) {
    line(pen, [-0.2, y, 0, y - 0.05, 0.2, y]);
    stroke(pen, SHADE, 0.02, 0.8 * c("browInnerUp"));
  }
}

function drawNose(pen, c) {
  line(pen, [0.03, -0.1, 0.1, 0.15, 0.1, 0.24]);
  stroke(pen, SHADE, 0.025, 0.7);
  for (const [side, sign] of SIDES) {
    const sneer = c(`noseSneer${side}`);
    line(pen, [0.05 * sign, 0.36 - 0.01 * sneer, (0.16 + 0.05 * sneer) * sign, 0.38 - 0.08 * sneer, (0.14 + 0.03 * sneer) * sign, 0.24 - 0.05 * sneer]);
    stroke(pen, LINE, 0.025);
    ellipse(pen, 0.065 * sign, 0.34 - 0.02 * sneer, 0.035 + 0.012 * sneer, 0.018 + 0.008 * sneer);
    fill(pen, LINE);
    for (const y of [-0.05, 0.03, 0.11]) {
      line(pen, [0.03 * sign, y, 0.1 * sign, y + 0.02, 0.16 * sign, y + 0.09]);
      stroke(pen, LINE, 0.018, 0.8 * sneer);
    }
    line(pen, [(0.2 + 0.03 * sneer) * sign, 0.3 - 0.05 * sneer, 0.32 * sign, 0.4 - 0.03 * sneer, 0.36 * sign, 0.52]);
    stroke(pen, sneer > 0.3 ? LINE : SHADE, 0.02 + 0.01 * sneer, 0.25 + 0.5 * sneer + 0.5 * c(`mouthSmile${side}`));
  }
}

function drawMouth(pen, c, jaw) {
  const round = 0.5 * c("mouthPucker") + 0.32 * c("mouthFunnel");
  const press = (c("mouthPressLeft") + c("mouthPressRight")) / 2, close = c("mouthClose");
  const x = 0.16 * (c("mouthLeft") - c("mouthRight")) + 0.7 * jaw.x;
  const closing = Math.min(close, Math.max(0, c("jawOpen")));
  const y = 0.66 + 0.12 * closing - 0.03 * c("mouthShrugUpper");
  const fullness = (1 + 0.45 * c("mouthPucker") + 0.4 * c("mouthFunnel")) * (1 - 0.5 * press) * (1 - 0.2 * close);
  const upperLip = 0.075 * fullness * (1 - 0.8 * c("mouthRollUpper")) * (1 + 0.3 * c("mouthShrugUpper"));
  const lowerLip = 0.095 * fullness * (1 - 0.8 * c("mouthRollLower")) * (1 + 0.2 * jaw.forward + 0.3 * c("mouthShrugLower"));
  const sides = SIDES.map(([side, sign]) => {
    const smile = c(`mouthSmile${side}`), frown = c(`mouthFrown${side}`), stretch = c(`mouthStretch${side}`);
    const dimple = c(`mouthDimple${side}`);
    const reach = (0.34 + 0.08 * smile + 0.1 * stretch + 0.05 * dimple + 0.02 * frown) * (1 - round);
    const up = -0.1 * c(`mouthUpperUp${side}`) - 0.07 * c("mouthFunnel") - 0.03 * smile;
    const down = 1.05 * (jaw.open - 0.3 * closing) + 0.11 * c(`mouthLowerDown${side}`) + 0.06 * c("mouthFunnel")
      - 0.05 * c("mouthShrugLower");
    return {
      sign, smile, dimple,
      press: c(`mouthPress${side}`),
      corner: [x + reach * sign, y - 0.15 * smile + 0.14 * frown + 0.05 * stretch + 0.3 * (jaw.open - 0.3 * closing)],
      reach, up, down: Math.max(down, up),
    };
  });
  const [right, left] = sides, up = (right.up + left.up) / 2, down = (right.down + left.down) / 2;
  const upper = (lift, dip) => {
    pen.quadraticCurveTo(x - 0.45 * right.reach, y + 1.7 * right.up - lift * 1.6, x, y + up - lift + dip);
    pen.quadraticCurveTo(x + 0.45 * left.reach, y + 1.7 * left.up - lift * 1.6, ...left.corner);
  };
  const lower = (drop) => {
    pen.quadraticCurveTo(x + 0.55 * left.reach, y + 1.35 * left.down + drop * 1.5, x, y + down + drop);
    pen.quadraticCurveTo(x - 0.55 * right.reach, y + 1.35 * right.down + drop * 1.5, ...right.corner);
  };
  pen.beginPath();
  pen.moveTo(...right.corner);
  upper(upperLip, 0.02);
  lower(lowerLip);
  fill(pen, LIP);
  pen.beginPath();
  pen.moveTo(...right.corner);
  upper(0, 0);
  lower(0);
  pen.save();
  fill(pen, MOUTH);
  pen.clip();
  drawTeeth(pen, x - 0.12 * (x - jaw.x), y - 0.2, 0.25 - 0.03 * c("mouthShrugUpper"), 0.31);
  drawTeeth(pen, jaw.x + 0.3 * (x - jaw.x), y + jaw.open + 0.02, 0.3, 0.25);
  ellipse(pen, x, y + down - 0.01, 0.17, 0.05 + 0.3 * jaw.open);
  fill(pen, "#cf6a6c", jaw.open > 0.02 ? 1 : 0);
  pen.restore();
  pen.beginPath();
  pen.moveTo(...right.corner);
  upper(0, 0);
  stroke(pen, LINE, 0.016);
  for (const side of sides) drawCorner(pen, side);
  const tongue = c("tongueOut");
  if (tongue > 0.02) {
    const length = 0.05 + 0.24 * tongue, top = y + Math.max(up, down - 0.04);
    pen.beginPath();
    pen.moveTo(x - 0.12, top);
    pen.bezierCurveTo(x - 0.16, top + 1.35 * length, x + 0.16, top + 1.35 * length, x + 0.12, top);
    fill(pen, "#d8787a");
    stroke(pen, LINE, 0.014);
    line(pen, [x, top, x, top + 0.6 * length]);
    stroke(pen, LINE, 0.012, 0.6);
  }
}

// A row of teeth; the opening of the mouth clips it.
function drawTeeth(pen, x, top, height, half) {
  pen.beginPath();
  pen.roundRect(x - half, top, 2 * half, height, 0.05);
  fill(pen, TEETH);
  for (const part of [-0.66, -0.34, 0, 0.34, 0.66]) {
    line(pen, [x + part * half, top, x + part * half, top + height]);
    stroke(pen, GAP, 0.008, 0.8);
  }
}

function drawCorner(pen, { sign, dimple, press, corner: [x, y] }) {
  line(pen, [x + 0.04 * sign, y - 0.07, x + 0.09 * sign, y, x + 0.04 * sign, y + 0.06]);
  stroke(pen, LINE, 0.024, 0.9 * dimple);
  line(pen, [x + 0.01 * sign, y - 0.04, x + 0.03 * sign, y + 0.05]);
  stroke(pen, LINE, 0.026, 0.9 * press);
}
